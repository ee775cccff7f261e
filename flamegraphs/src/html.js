
"use strict";
// Works on top of inferno's script in the picture: its search(), reset_search(), unzoom() and click handler.
(function () {
  var term = document.getElementById("term");
  var found = document.getElementById("found");
  var info = document.getElementById("info");
  var hint = info.textContent;
  function find() {
    if (searching) search_prompt();
    found.textContent = "";
    if (term.value === "") return;
    try { search(term.value); } catch (e) { found.textContent = "not a valid pattern"; return; }
    found.textContent = searching ? matchedtxt.textContent : "no match";
  }
  document.getElementById("find").addEventListener("submit", function (e) { e.preventDefault(); find(); });
  term.addEventListener("input", find);
  document.getElementById("whole").addEventListener("click", function () { unzoom(); find(); });
  window.addEventListener("keydown", function (e) {
    var wanted = e.key === "/" || e.key === "F3" || ((e.ctrlKey || e.metaKey) && e.key === "f");
    if (wanted) {
      if (document.activeElement === term) { if (e.key !== "/") e.stopPropagation(); return; }
      e.preventDefault();
      e.stopPropagation();
      term.focus();
      term.select();
    } else if (e.key === "Escape") {
      term.value = "";
      find();
      unzoom();
    }
  }, true);
  window.addEventListener("mouseover", function (e) {
    var frame = find_group(e.target);
    info.textContent = frame ? g_to_text(frame) : hint;
  });
})();
