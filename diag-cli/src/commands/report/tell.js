"use strict";
// In the frame of a flame graph: its height, for the page around it.
(function () {
  function tell() {
    var box = document.body.getBoundingClientRect();
    if (box.width > 0) parent.postMessage({ height: Math.ceil(box.height), width: window.innerWidth }, "*");
  }
  window.addEventListener("load", tell);
  new ResizeObserver(tell).observe(document.body);
})();
