
// Replaces inferno's function of this name: a frame shows its whole name if there is room, else the short one that
// is in data-short, else the beginning of that. Reads everything first and writes then, to lay out only once.
function update_text_for_elements(elements) {
    var char_width = known_font_width || fontsize * fontwidth;
    var picture = frames.attributes.width.value;
    var changes = [];
    for (var i = 0; i < elements.length; i++) {
        var e = elements[i];
        var r = find_child(e, "rect").attributes;
        var room = Math.floor((parseFloat(r.width.value) * picture / 100 - 6) / char_width);
        var text = "";
        if (room >= 5) {
            var title = g_to_text(e);
            var whole = title.substring(0, title.lastIndexOf(" ("));
            var short = e.getAttribute("data-short") || whole;
            text = whole.length <= room ? whole : short.length <= room ? short : short.substring(0, room - 2) + "..";
        }
        changes.push([find_child(e, "text"), format_percent(parseFloat(r.x.value) + 300 / picture), text]);
    }
    changes.forEach(function (c) {
        c[0].attributes.x.value = c[1];
        c[0].textContent = c[2];
    });
}

// inferno keeps zoom and search in the address; where a document has none that may change (srcdoc, data:, sandbox),
// browsers throw.
(function () {
    var replace = history.replaceState;
    history.replaceState = function () {
        try { replace.apply(history, arguments); } catch (e) { console.debug("the address stays as it is: " + e); }
    };
})();

// A frame in a page may have no size yet when it is loaded, and nothing can be laid out in it.
function start() {
    if (window.innerWidth > 0) init();
    else window.addEventListener("resize", start, { once: true });
}
if (document.readyState === "complete") start();
else window.addEventListener("load", start);
