// Draws a flame graph. Only what is wide enough to be seen is visited, so that 100,000 frames cost as much as the pixels they
// cover. Names are painted as text, never made into markup.

const ROW = 19;
const FONT = "12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace";
/** Narrower frames are left out, with all below them. */
const NARROWEST = 0.6;
const FOUND = "#ffe14d";

export class FlameCanvas {
  /** `view` has `flame`, `zoom`, `chosen` and is told what the pointer does. */
  constructor(view, canvas, scroller, spacer) {
    Object.assign(this, { view, canvas, scroller, spacer, pending: false, width: 0, tall: 0 });
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.later()).observe(scroller);
    scroller.addEventListener("scroll", () => this.later(), { passive: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.later());
    canvas.addEventListener("pointermove", (e) => view.hover(this.under(e)));
    canvas.addEventListener("pointerleave", () => view.hover(-1));
    canvas.addEventListener("click", (e) => view.pick(this.under(e)));
  }

  later() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.draw(); });
  }

  /** How deep the drawing goes: the rows below the zoomed frame, with those above it. */
  depths() {
    const { flame, zoom } = this.view;
    if (this.deep?.flame !== flame || this.deep.zoom !== zoom) {
      let deepest = 0;
      for (let i = zoom; i < flame.end[zoom]; i += 1) deepest = Math.max(deepest, flame.depth[i]);
      this.deep = { flame, zoom, rows: deepest + 1 };
    }
    return this.deep.rows;
  }

  under(event) {
    const { flame, zoom } = this.view;
    if (!flame.size) return -1;
    const box = this.canvas.getBoundingClientRect();
    const depth = Math.floor((event.clientY - box.top + this.scroller.scrollTop) / ROW);
    const position = (event.clientX - box.left) / box.width;
    if (depth <= flame.depth[zoom]) return flame.above(zoom)[depth] ?? -1;
    return flame.at(depth, flame.start[zoom] + position * flame.width[zoom]);
  }

  /** Brings a frame into the visible rows. */
  reveal(i) {
    const top = this.view.flame.depth[i] * ROW;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.scroller.scrollTop = top + ROW - clientHeight;
  }

  draw() {
    const { flame, zoom } = this.view;
    const width = this.scroller.clientWidth;
    if (!width || !flame.size) return;
    this.spacer.style.height = `${this.depths() * ROW}px`;
    const tall = Math.max(ROW, Math.min(this.scroller.clientHeight, this.depths() * ROW));
    const scale = window.devicePixelRatio || 1;
    if (width !== this.width || tall !== this.tall || scale !== this.scale) {
      Object.assign(this, { width, tall, scale });
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(tall * scale);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${tall}px`;
      // The rows take their room by the spacer; the canvas lies on what is visible of it.
      this.canvas.style.marginBottom = `${-tall}px`;
    }
    const paint = this.context;
    paint.setTransform(scale, 0, 0, scale, 0, 0);
    paint.clearRect(0, 0, width, tall);
    paint.font = FONT;
    paint.textBaseline = "middle";
    paint.direction = "ltr";
    this.char ??= paint.measureText("0").width;
    this.hatches ??= { gone: hatch(paint, "#4f97dd", "#8dbcec"), rest: hatch(paint, "#e2e2e2", "#cdcdcd") };
    this.edge = getComputedStyle(this.scroller).getPropertyValue("--ink").trim() || "#000";
    const top = this.scroller.scrollTop;
    flame.above(zoom).slice(0, -1).forEach((i) => this.frame(i, 0, width, top, true));
    const perUnit = width / (flame.width[zoom] || 1);
    const from = flame.start[zoom];
    const [first, last] = [Math.floor(top / ROW), Math.ceil((top + tall) / ROW)];
    for (let i = zoom; i < flame.end[zoom];) {
      const across = flame.width[i] * perUnit;
      if (across < NARROWEST || flame.depth[i] > last) {
        i = flame.end[i];
        continue;
      }
      if (flame.depth[i] >= first) this.frame(i, (flame.start[i] - from) * perUnit, across, top, false);
      i += 1;
    }
  }

  frame(i, x, across, top, above) {
    const { view: { flame, chosen, hovered }, context: paint } = this;
    const y = flame.depth[i] * ROW - top;
    const found = flame.found?.[i];
    const fill = flame.fills[flame.fill[i]];
    paint.globalAlpha = above ? 0.55 : flame.found && !found ? 0.45 : 1;
    paint.fillStyle = found ? FOUND : this.hatches[fill] ?? fill;
    paint.fillRect(x, y, Math.max(across - 0.6, 0.5), ROW - 1);
    paint.globalAlpha = above ? 0.75 : 1;
    if (i === chosen || i === hovered) {
      paint.strokeStyle = this.edge;
      paint.lineWidth = i === chosen ? 2 : 1;
      paint.strokeRect(x + 1, y + 1, Math.max(across - 2.6, 1), ROW - 3);
    }
    const room = Math.floor((across - 7) / this.char);
    if (room >= 3) {
      paint.fillStyle = "#000";
      paint.fillText(fitting(flame, i, room), x + 4, y + ROW / 2);
    }
    paint.globalAlpha = 1;
  }
}

/** The whole name, the short one, or as much of it as there is room for. */
function fitting(flame, i, room) {
  const whole = flame.label(i);
  if (whole.length <= room) return whole;
  const short = flame.label(i, true);
  return short.length <= room ? short : `${short.slice(0, room - 1)}\u2026`;
}

function hatch(paint, back, line) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const t = tile.getContext("2d");
  t.fillStyle = back;
  t.fillRect(0, 0, 8, 8);
  t.strokeStyle = line;
  t.lineWidth = 2;
  t.beginPath();
  for (const x of [-8, 0, 8]) {
    t.moveTo(x, 8);
    t.lineTo(x + 8, 0);
  }
  t.stroke();
  return paint.createPattern(tile, "repeat");
}
