// Numbers and instants as text, and the ticks of an axis.
const DAY = 86_400_000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const pad = (number) => String(number).padStart(2, "0");
const signed = (text) => text.replace("-", "\u2212");
const grouped = (text) => {
  const [whole, rest] = text.split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest === undefined ? "" : `.${rest}`);
};

// The part of d3's language of formats that our charts speak: [,][.digits][~][f|g|%|s].
const numeral = (value, format) => {
  if (value === null || value === undefined || !Number.isFinite(Number(value))) return "\u2013";
  const [, comma, digits, trim, kind] = /^(,?)(?:\.(\d+))?(~?)([fg%]?)$/.exec(format || "") || [null, "", undefined, "", ""];
  const number = Number(value);
  let text;
  if (kind === "%") text = (100 * number).toFixed(digits ?? 0);
  else if (kind === "f") text = number.toFixed(digits ?? 0);
  else text = String(Number(number.toPrecision(digits ?? 6)));
  if (trim && text.includes(".")) text = text.replace(/\.?0+$/, "");
  if (/^-0(\.0*)?$/.test(text)) text = text.slice(1);
  return signed(comma ? grouped(text) : text) + (kind === "%" ? "%" : "");
};

const calendar = (value, format) => {
  const at = new Date(value);
  return format
    .replace("%Y", at.getUTCFullYear()).replace("%m", pad(at.getUTCMonth() + 1)).replace("%d", pad(at.getUTCDate()))
    .replace("%H", pad(at.getUTCHours())).replace("%M", pad(at.getUTCMinutes()));
};

const round = (low, high, wanted) => {
  const rough = (high - low) / Math.max(1, wanted);
  const unit = 10 ** Math.floor(Math.log10(rough));
  return unit * ([1, 2, 5, 10].find((step) => step * unit >= rough * 0.999) || 10);
};

const everyStep = (low, high, step) => {
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place += 1) found.push(place * step);
  return found;
};

const linearTicks = (low, high, wanted, axis) => {
  // One tick alone gives no scale.
  const steps = [1, 2, 4].map((finer) => round(low, high, finer * wanted));
  const step = axis.dtick ? axis.dtick * Math.ceil((high - low) / axis.dtick / wanted)
    : steps.find((one) => everyStep(low, high, one).length > 1) ?? steps[0];
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const print = (value) => {
    if (axis.tickformat === ".0%") return `${signed((100 * value).toFixed(Math.max(0, places - 2)))}%`;
    if (axis.tickformat) return numeral(value, axis.tickformat);
    return signed(grouped(value.toFixed(Math.abs(value) < 1e-12 ? 0 : places)));
  };
  return everyStep(low, high, step).map((at) => ({at, text: print(at)}));
};

const shortNumber = (value) => {
  for (const [size, word] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size) return `${Number((value / size).toPrecision(6))}${word}`;
  }
  return String(Number(value.toPrecision(6)));
};

const logTicks = (low, high, wanted) => {
  const span = high - low;
  const multiples = span >= 2 ? [1] : span >= 0.8 ? [1, 2, 5] : null;
  if (multiples === null) {
    return linearTicks(10 ** low, 10 ** high, wanted, {}).filter(({at}) => at > 0).map(({at, text}) => ({at: Math.log10(at), text}));
  }
  const every = Math.max(1, Math.ceil(span / wanted));
  const found = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    if (power % every) continue;
    for (const multiple of multiples) {
      const at = Math.log10(multiple) + power;
      if (at >= low - 1e-9 && at <= high + 1e-9) found.push({at, text: shortNumber(10 ** at)});
    }
  }
  return found;
};

const CLOCK = [1, 2, 5, 10, 15, 30].map((step) => step * 60_000).concat([1, 2, 3, 6, 12].map((step) => step * 3_600_000));
const dateTicks = (low, high, wanted) => {
  const rough = (high - low) / Math.max(1, wanted);
  const step = CLOCK.find((one) => one >= rough);
  if (step) {
    return everyStep(low, high, step).map((at) => ({at, text: at % DAY ? calendar(at, "%H:%M") : calendar(at, "%Y-%m-%d")}));
  }
  const days = [1, 2, 4, 7, 14].find((one) => one * DAY >= rough);
  if (days) return everyStep(low, high, days * DAY).map((at) => ({at, text: calendar(at, "%Y-%m-%d")}));
  const months = [1, 2, 3, 6].find((one) => one * 30.4 * DAY >= rough) || 12 * round(0, rough / DAY / 365.25, 1);
  const first = new Date(low);
  const found = [];
  for (let month = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months; ; month += months) {
    const at = Date.UTC(Math.floor(month / 12), month % 12, 1);
    if (at > high) return found;
    if (at >= low) found.push({at, text: months % 12 ? `${MONTHS[month % 12]} ${Math.floor(month / 12)}` : String(month / 12)});
  }
};
