// A flame graph's frames as arrays (`diag.flame/1`): where each lies, what is above and below, what a search finds. No drawing.

export class Flame {
  constructor(data) {
    Object.assign(this, {
      data, names: data.names, fills: data.fills, depth: data.frames.depth, name: data.frames.name, fill: data.frames.fill,
      width: data.frames.width, own: data.frames.own, difference: data.difference,
    });
    const n = this.size = this.depth.length;
    this.start = new Float64Array(n);
    this.parent = new Int32Array(n).fill(-1);
    /** The first frame behind those below it. */
    this.end = new Int32Array(n);
    /** By depth, frames from left to right. */
    this.rows = [];
    const open = [];
    const used = [];
    for (let i = 0; i < n; i += 1) {
      const depth = this.depth[i];
      while (open.length > depth) this.end[open.pop()] = i;
      if (depth > 0) {
        const parent = this.parent[i] = open[depth - 1];
        this.start[i] = this.start[parent] + used[depth - 1];
        used[depth - 1] += this.width[i];
      }
      open[depth] = i;
      used[depth] = 0;
      (this.rows[depth] ??= []).push(i);
    }
    while (open.length) this.end[open.pop()] = n;
    this.total = n ? this.width[0] : 0;
    this.found = null;
  }

  /** New minus base; in a profile that is a difference itself, its value. */
  change(i) {
    const { frames } = this.data;
    return frames.new[i] - (frames.base[i] ?? 0);
  }

  label(i, short = false) {
    const name = this.names[this.name[i]][short ? 1 : 0];
    if (!this.difference) return name;
    const change = this.change(i);
    return change > 0 ? `+ ${name}` : change < 0 ? `- ${name}` : name;
  }

  /** The frame of a row at a position, if there is one. */
  at(depth, position) {
    const row = this.rows[depth];
    if (!row) return -1;
    let [low, high] = [0, row.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.start[row[middle]] <= position) low = middle + 1;
      else high = middle;
    }
    const i = row[low - 1];
    return i !== undefined && position < this.start[i] + this.width[i] ? i : -1;
  }

  /** The frame an arrow key leads to; itself when there is none. */
  step(i, key) {
    if (key === "ArrowUp") return Math.max(0, this.parent[i]);
    if (key === "ArrowDown") return i + 1 < this.end[i] ? i + 1 : i;
    const row = this.rows[this.depth[i]];
    const at = row.indexOf(i) + (key === "ArrowLeft" ? -1 : 1);
    return row[at] ?? i;
  }

  above(i) {
    const path = [];
    for (let at = i; at >= 0; at = this.parent[at]) path.push(at);
    return path.reverse();
  }

  /** The way to a frame, by which it is found again in other data: four digits a name. */
  path(i) {
    return this.above(i).slice(1).map((at) => this.digits(at)).join("");
  }

  /** The frame at the end of such a path, or the last one on the way that there is. */
  follow(path) {
    let at = 0;
    for (const wanted of path.match(/.{4}/g) ?? []) {
      let next = -1;
      for (let child = at + 1; child < this.end[at]; child = this.end[child]) {
        if (this.digits(child) === wanted) { next = child; break; }
      }
      if (next < 0) break;
      at = next;
    }
    return at;
  }

  digits(i) {
    const name = this.name[i];
    return (this.hashes ??= [])[name] ??= digits(this.names[name][0]);
  }

  /** Marks the frames whose name or file matches; gives how wide they are together, those inside others not counted twice. */
  search(pattern) {
    this.found = null;
    if (!pattern) return null;
    const names = this.names.map(([whole, , file]) => pattern.test(whole) || pattern.test(file));
    const found = this.found = new Uint8Array(this.size);
    let [width, count] = [0, 0];
    for (let i = 1, covered = 0; i < this.size; i += 1) {
      if (!names[this.name[i]]) continue;
      found[i] = 1;
      count += 1;
      if (i >= covered) {
        width += this.width[i];
        covered = this.end[i];
      }
    }
    return { width, count };
  }

  /** The next frame found after one, around the end. */
  next(i, back) {
    for (let k = 1; k <= this.size && this.found; k += 1) {
      const at = (i + (back ? -k : k) + this.size * 2) % this.size;
      if (this.found[at]) return at;
    }
    return i;
  }

  /** What each function has by itself and with all it calls, once a stack; largest first. */
  functions(most) {
    const rows = new Map();
    const open = new Map();
    const depths = [];
    for (let i = 1; i < this.size; i += 1) {
      for (; depths.length >= this.depth[i]; depths.pop()) {
        const name = depths.at(-1);
        open.set(name, open.get(name) - 1);
      }
      const name = this.name[i];
      const row = rows.get(name) ?? { name, own: 0, total: 0, change: 0 };
      rows.set(name, row);
      row.own += this.own[i];
      if (!open.get(name)) {
        row.total += this.width[i];
        row.change += this.change(i);
      }
      open.set(name, (open.get(name) ?? 0) + 1);
      depths.push(name);
    }
    const list = [...rows.values()].sort((a, b) => b.own - a.own || b.total - a.total);
    return { list: list.slice(0, most), all: list.length };
  }
}

/** FNV-1a, folded to 16 bits. */
function digits(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return ((hash ^ (hash >>> 16)) & 0xffff).toString(16).padStart(4, "0");
}
