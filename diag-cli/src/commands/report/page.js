"use strict";
// Frames as high as what is in them; nothing folded away on paper.
(function () {
  window.addEventListener("message", function (e) {
    if (!e.data || !(e.data.height > 0) || !(e.data.width > 0)) return;
    var frames = document.querySelectorAll("iframe");
    for (var i = 0; i < frames.length; i++) {
      // A frame that is not yet laid out is as narrow as it likes, and very high.
      var laidOut = Math.abs(frames[i].clientWidth - e.data.width) < 3;
      if (frames[i].contentWindow === e.source && laidOut) frames[i].height = Math.min(Math.ceil(e.data.height) + 2, 9000);
    }
  });
  var opened = [];
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details:not([open])").forEach(function (d) { d.open = true; opened.push(d); });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (d) { d.open = false; });
    opened = [];
  });
})();
