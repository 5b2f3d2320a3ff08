// Runs once in every fresh context of the evaluator, before any condition. Takes away what a condition must not have,
// freezes everything that is left, and answers the two functions that the evaluator calls: keep and judge.
// Only strings and numbers cross the border to Python; nothing here calls anything that a condition could have changed.
(() => {
  "use strict";
  const { freeze, getPrototypeOf, getOwnPropertyDescriptor, defineProperty } = Object;
  const { ownKeys, apply } = Reflect;
  const { parse, stringify } = JSON;
  const slice = String.prototype.slice;
  const toText = String;
  const isError = Error.isError;
  const stackOf = getOwnPropertyDescriptor(Error.prototype, "stack").get;
  const push = Array.prototype.push;

  // Before freezing: these survive it, and the first would run a condition's code whenever an error is made.
  delete Error.prepareStackTrace;
  delete Error.stackTraceLimit;
  delete Error.captureStackTrace;

  // Every path from a function to a constructor that compiles text.
  const refuse = freeze(function () {
    throw new TypeError("a function cannot be made from text");
  });
  const functions = [function () {}, function* () {}, async function () {}, async function* () {}];
  for (const f of functions) defineProperty(getPrototypeOf(f), "constructor", { value: refuse });
  const promise = (async () => {})();
  defineProperty(getPrototypeOf(promise), "constructor", { value: refuse });

  // Intrinsics that no global names.
  const hidden = [
    ...functions,
    promise,
    (function* () {})(),
    (async function* () {})(),
    [].values(),
    [].values().map((x) => x),
    Iterator.from({ next() {} }),
    new Map().entries(),
    new Set().values(),
    ""[Symbol.iterator](),
    "".matchAll(/x/g),
    (function () {
      return arguments;
    })(),
  ];

  const allowed = new Set(
    (
      "Object Error EvalError RangeError ReferenceError SyntaxError TypeError URIError AggregateError Iterator Array " +
      "parseInt parseFloat isNaN isFinite decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape " +
      "Infinity NaN undefined Number Boolean String Math Reflect Symbol globalThis BigInt Date RegExp JSON Map Set " +
      "WeakMap WeakSet"
    ).split(" "),
  );
  const removed = [];
  for (const name of ownKeys(globalThis)) {
    if (allowed.has(name)) continue;
    removed.push(globalThis[name]); // some stay reachable, such as the constructor of an engine's own error
    delete globalThis[name];
  }

  const seen = new Set();
  const visit = (value) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
    seen.add(value);
    visit(getPrototypeOf(value));
    for (const key of ownKeys(value)) {
      const property = getOwnPropertyDescriptor(value, key);
      visit(property.value);
      visit(property.get);
      visit(property.set);
    }
  };
  [globalThis, ...removed, ...hidden].forEach(visit);
  seen.forEach(freeze);

  // Text of an error without running anything of the condition's: own data properties and frozen prototypes only.
  const dataOf = (object, key) => {
    for (let o = object, depth = 0; o !== null && depth < 8; o = getPrototypeOf(o), depth++) {
      const property = getOwnPropertyDescriptor(o, key);
      if (property !== undefined) return typeof property.value === "string" ? property.value : "";
    }
    return "";
  };
  const short = (text, length) => apply(slice, text, [0, length]);
  const describe = (error) => {
    if (typeof error !== "object" || error === null) {
      const shown = typeof error === "symbol" || typeof error === "function" ? "a " + typeof error : toText(error);
      // The engine itself throws null when it has no memory left for an error.
      return ["threw " + short(shown, 200) + (error === null ? " (or ran out of memory)" : ""), ""];
    }
    if (!isError(error)) return ["threw an object", ""];
    const message = short(dataOf(error, "message"), 200);
    const name = short(dataOf(error, "name"), 40);
    return [name + (message && ": ") + message, short(apply(stackOf, error, []) ?? "", 1000)];
  };

  const sets = []; // conditions by the number of their set
  const one = (condition, ctx, errors) => {
    try {
      const value = condition(ctx);
      if (((typeof value === "object" && value !== null) || typeof value === "function") && typeof value.then === "function") {
        apply(push, errors, [["the result is a promise; a condition must give its answer at once", ""]]);
        return "e";
      }
      return value ? "1" : "0";
    } catch (error) {
      apply(push, errors, [describe(error)]);
      return "e";
    }
  };

  const keep = (set, condition) => {
    defineProperty(sets, set, { value: sets[set] || [], configurable: true });
    apply(push, sets[set], [condition]);
  };

  // Judges the conditions from..to of a set: one letter for each, then the errors as JSON.
  const judge = (set, text, from, to) => {
    const ctx = freeze(parse(text));
    const conditions = sets[set];
    const errors = [];
    let verdicts = "";
    for (let i = from; i < to; i++) verdicts += one(conditions[i], ctx, errors);
    return errors.length === 0 ? verdicts : verdicts + stringify(errors);
  };

  return (name) => (name === "keep" ? keep : judge);
})();
