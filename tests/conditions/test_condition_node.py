"""Conditions mean what they mean in Node: several hundred expressions, their values and their errors compared."""

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from hookyard.events.catalog import Value
from tests.conditions.conditions import ConditionTester

CTX: dict[str, Value] = {
    "eventName": "task.updated",
    "timestamp": "2026-01-15T09:00:00Z",
    "workspaceId": "ws",
    "taskId": "task-1",
    "taskTitle": "紧急: 修复登录Bug 👨‍👩‍👧 café",
    "taskStatus": "blocked",
    "changes": '{"status":"blocked","labels":["bug","紧急"],"n":{"a":[1,2,{"b":null}]}}',
    "retryCount": 2,
    "remaining": 0,
    "duration": 300.5,
    "empty": "",
    "batch": True,
    "off": False,
    "events": '[{"eventName":"task.created","taskId":"task-1"},{"eventName":"task.created","taskId":"task-2"}]',
}

NODE = """
const {ctx, expressions} = JSON.parse(require('fs').readFileSync(0, 'utf8'));
Object.freeze(ctx);
const shown = (v) => JSON.stringify(v, (k, x) =>
  typeof x === 'bigint' ? x + 'n' : typeof x === 'symbol' || typeof x === 'function' ? typeof x :
  x === undefined ? 'undefined' : Object.is(x, -0) ? '-0' : typeof x === 'number' && !Number.isFinite(x) ? String(x) :
  x instanceof Map || x instanceof Set ? [...x] : x instanceof RegExp ? String(x) : x);
console.log(JSON.stringify(expressions.map((e) => {
  try { return [shown(require('vm').runInThisContext('"use strict";(ctx)=>(\\n' + e + '\\n)')(ctx)), null]; }
  catch (error) { return [null, error && error.name || String(error)]; }
})));
"""

SHOWN = (
    "((v) => JSON.stringify(v, (k, x) => "
    "typeof x === 'bigint' ? x + 'n' : typeof x === 'symbol' || typeof x === 'function' ? typeof x : "
    "x === undefined ? 'undefined' : Object.is(x, -0) ? '-0' : "
    "typeof x === 'number' && !Number.isFinite(x) ? String(x) : "
    "x instanceof Map || x instanceof Set ? [...x] : x instanceof RegExp ? String(x) : x))"
)

VALUES = [
    *(
        "ctx.taskStatus",
        "ctx.retryCount",
        "ctx.remaining",
        "ctx.duration",
        "ctx.empty",
        "ctx.batch",
        "ctx.off",
        "ctx.no",
    ),
    *("null", "'2'", "'02'", "'\\u00a02 '", "NaN", "[]", "[2]", "({})", "0n", "2n", "-0", "'blocked'"),
]

COERCION = [
    *(f"{a} == {b}" for a in VALUES for b in ("2", "''", "null", "false", "'2'", "ctx.no")),
    *(f"+({a})" for a in VALUES),
    *(f"`${{{a}}}`" for a in VALUES),
    *(f"!!({a})" for a in VALUES),
    *(f"{a} < 3" for a in VALUES),
    *(f"typeof {a}" for a in VALUES),
    *(f"[{a}] + ''" for a in VALUES),
]

OPERATORS = """
1 + '1'
'3' * '4'
'a' - 1
7 % -3
-7 % 3
2 ** 10
2 ** -1
0.1 + 0.2
1 / 0
-1 / 0
0 / 0
5 / 2 | 0
~~-3.7
1 << 31
-1 >>> 0
-1 >> 1
5 & 3 | 8 ^ 2
~5
'b' > 'a'
'B' > 'a'
'10' < '9'
'10' < 9
null >= 0
undefined >= 0
NaN !== NaN
Object.is(NaN, NaN)
Object.is(-0, 0)
[1] == 1
[1,2] == '1,2'
({}) == '[object Object]'
null ?? 'x'
0 ?? 'x'
0 || 'x'
'' && 'x'
ctx.no?.a.b.c
ctx.no?.[0]?.x
ctx.no?.()
ctx.taskTitle?.length
(1, 2, 3)
void 0
typeof nothing
typeof ctx.no
'taskId' in ctx
'no' in ctx
delete ctx.taskId
ctx.a = 1
ctx.taskStatus === 'blocked' ? 'y' : 'n'
[..."héllo"].length
[...ctx.taskTitle].length
({...ctx}).taskId
(({taskId, no = 5, ...rest}) => [taskId, no, Object.keys(rest).length])(ctx)
((...a) => a.length)(1, 2, 3)
((a, b = a + 1) => a + b)(1)
[1, , 3].length
[,].length
`a${1 + 1}b${`c${ctx.taskId}`}`
String.raw`a\\nb${1}`
((s, ...v) => s.raw.join('|') + v)`x${1}\\ty`
0b101 + 0o17 + 0xff + 1_000
.5 + 5. + 1e3
'\\u{1F600}'.length
'\\x41\\u0042\\103'
010
'use strict'
10n ** 20n
7n / 2n
1n + 1
1n < 2
BigInt(10) === 10n
BigInt('x')
BigInt.asUintN(8, 257n)
nothing
null.x
undefined.x
ctx.no.x
ctx.taskId()
ctx.taskId.nope()
(() => { throw new TypeError('x') })()
(() => { throw 'x' })()
(() => { try { null.x } catch { return 'caught' } finally { } })()
(() => { for (const x of [1,2,3]) if (x > 1) return x })()
(() => { let s = 0; for (let i = 0; i < 10; i++) { if (i % 2) continue; s += i } return s })()
(() => { label: for (;;) { for (;;) break label } return 1 })()
(() => { switch (ctx.retryCount) { case 1: return 'a'; case 2: return 'b'; default: return 'c' } })()
(() => { class A { #x = 1; static y = 2; get x() { return this.#x } } return new A().x + A.y })()
(() => { class A { constructor(n) { this.n = n } } class B extends A { m = 2 } return new B(4).m * new B(3).n })()
(() => { function* g() { yield 1; yield* [2, 3] } return [...g()] })()
(() => { const {a: {b = 7} = {}} = {}; return b })()
(() => { let a = 1, b = 2; [a, b] = [b, a]; return [a, b] })()
(() => { var x = 1; { let x = 2 } return x })()
(() => { const x = 1; x = 2 })()
(() => { return typeof x; let x })()
(() => { return arguments.length })()
((f) => f(f, 10))((f, n) => n < 2 ? n : f(f, n - 1) + f(f, n - 2))
""".strip().split("\n")

STRINGS = """
ctx.taskTitle.includes('紧急')
ctx.taskTitle.indexOf('登录')
ctx.taskTitle.length
ctx.taskTitle.slice(-4)
ctx.taskTitle.slice(0, 2)
ctx.taskTitle.substring(4, 2)
ctx.taskTitle.substr(-4, 2)
ctx.taskTitle.at(-1)
ctx.taskTitle.charCodeAt(0)
ctx.taskTitle.codePointAt(13)
ctx.taskTitle.split(' ')
ctx.taskTitle.split('').length
ctx.taskTitle.toUpperCase()
'ǅ'.toLowerCase() + 'ß'.toUpperCase() + 'İ'.toLowerCase().length
'ΑΣ'.toLowerCase()
'ﬁ'.toUpperCase()
'I'.toLocaleLowerCase()
'  a\\u00a0\\ufeff\\u2003'.trim()
'  a '.trimStart() + '|'
' a  '.trimEnd() + '|'
'a'.padStart(5, 'xy') + 'a'.padEnd(4)
'ab'.repeat(3)
'ab'.repeat(-1)
'abcabc'.replace('b', '[$&$`$\\'$$]')
'abcabc'.replaceAll('b', (m, at) => m + at)
'aaa'.replaceAll(/a/, 'b')
'abc'.concat(1, null)
'abc'.localeCompare('abd')
'a'.localeCompare('a')
'a-b-c'.split('-', 2)
'abc'.split('')
'cafe\\u0301'.normalize() === 'café'
'ﬁ①Å'.normalize('NFKD')
'ü'.normalize('NFD').length
'x'.normalize('XX')
'\\ud83d'.isWellFormed()
'a\\ud83db'.toWellFormed()
'\\ud83d' + '\\ude00' === '😀'
'😀'.length
'😀'.split('').length
[...'😀'].length
'👨‍👩‍👧'.length
'abc' < 'abd'
'中' < '文'
'a'.codePointAt(5)
String.fromCharCode(20013, 25991)
String.fromCodePoint(128512)
String.fromCodePoint(-1)
String(Symbol('x'))
`${Symbol('x')}`
String([1, [2, 3]])
String({})
String(null) + String(undefined)
(123.456).toFixed(1)
(0.000001234).toString()
(1e21).toString()
(255).toString(16)
(0.5).toString(2)
(255).toString(99)
(1234.5678).toExponential(2)
(1234.5678).toPrecision(6)
(-1.5).toFixed(0)
(1.005).toFixed(2)
(2.5).toFixed(0)
Number('0x1f')
Number(' 12 ')
Number('1_000')
Number('')
Number(null)
Number(undefined)
Number([5])
Number('12px')
Number('Infinity')
parseInt('12px')
parseInt('0x1f')
parseInt('101', 2)
parseInt('')
parseInt(null, 36)
parseFloat('3.14abc')
parseFloat('.5e1')
Number.isInteger(5.0)
Number.isSafeInteger(2 ** 53)
isNaN('x')
Number.isNaN('x')
isFinite('5')
Number.MAX_SAFE_INTEGER
Number.EPSILON > 0
9007199254740993
0.1 * 3
1e308 * 10
5e-324 / 2
123456789012345680000
-1e-7
1.7976931348623157e308
encodeURIComponent('任务 a&b')
decodeURIComponent('%E4%BB%BB')
decodeURIComponent('%')
encodeURI('http://x/任 务?a=1')
escape('任ü')
unescape('%u4EFB')
'a,b;c'.split(/[,;]/)
'x'.anchor('y')
'abc'[1] + 'abc'['length']
'abc'[5]
""".strip().split("\n")

ARRAYS = """
['blocked', 'waiting'].includes(ctx.taskStatus)
[NaN].includes(NaN)
[NaN].indexOf(NaN)
[3, 1, 10, 2].sort()
[3, 1, 10, 2].sort((a, b) => a - b)
['b', undefined, 'a'].sort()
[1, 2, 3].toSorted((a, b) => b - a)
[1, 2, 3].toReversed()
[1, 2, 3].with(1, 9)
[1, 2, 3].toSpliced(1, 1, 7, 8)
[1, 2, 3].map((x, i) => x * i)
['1', '2', '3'].map(parseInt)
[1, 2, 3, 4].filter((x) => x % 2).reduce((a, b) => a + b, 10)
[].reduce((a, b) => a)
[1, [2, [3, [4]]]].flat(Infinity)
[1, 2].flatMap((x) => [x, x * 2])
[1, 2, 3].find((x) => x > 1)
[1, 2, 3].findLast((x) => x < 3)
[1, 2, 3].findIndex((x) => x > 5)
[1, 2, 3].some((x) => x > 2) && [].every((x) => false)
[1, 2, 3].join()
[null, undefined, 1, [2, 3]].join('-')
[1, 2, 3].slice(-2)
[1, 2, 3].indexOf(2, -1)
[1, 2, 3].at(-1)
Array.from('abc', (c) => c + c)
Array.from({length: 3}, (_, i) => i * i)
Array.of(7).length
new Array(3).fill(0)
[...Array(3).keys()]
Array.isArray([]) && !Array.isArray({length: 0})
[1, 2, 3].entries().next().value
[5, 1].concat([2], 3, [[4]])
[1, 2, 3, 4, 5].copyWithin(0, 3)
[1, 2, 3].lastIndexOf(3)
[3, 2, 1].toString()
[..."ab"].entries().toString()
Object.keys(ctx).length
Object.entries({a: 1, b: 2})
Object.fromEntries([['a', 1]])
Object.assign({a: 1}, {b: 2}, null)
Object.values('ab')
Object.keys({b: 1, 2: 1, a: 1, 1: 1})
Object.getOwnPropertyNames('ab')
Object.isFrozen(ctx)
Object.hasOwn(ctx, 'taskId')
({a: 1}).hasOwnProperty('a')
({}).toString()
({a: 1, get b() { return this.a + 1 }}).b
({['x' + 1]: 2}).x1
({__proto__: {z: 1}}).z
({a: 1}) instanceof Object
new Map([[1, 'a'], [NaN, 'b']]).get(NaN)
new Map([['a', 1]])
new Set([1, 1, 2, NaN, NaN])
new Set('hello').size
[...new Map([[1, 2]]).entries()]
new WeakMap([[{}, 1]]) instanceof WeakMap
Symbol('x').description
Symbol.for('a') === Symbol.for('a')
Symbol.iterator in []
Reflect.ownKeys({a: 1, 2: 1})
Reflect.has(ctx, 'taskId')
Math.max()
Math.min(1, '0', null)
Math.max(1, NaN)
Math.round(-0.5)
Math.round(2.5)
Math.trunc(-4.7)
Math.sign(-3)
Math.hypot(3, 4)
Math.log2(8)
Math.fround(5.5)
Math.clz32(1)
Math.imul(3, 4)
Math.atan2(1, 1)
Math.abs('-5')
Math.floor(-1.5)
JSON.parse(ctx.changes).status
JSON.parse(ctx.changes).n.a[2].b
JSON.parse(ctx.changes).labels.includes('紧急')
JSON.parse(ctx.changes, (k, v) => Array.isArray(v) ? v.length : v)
JSON.parse(ctx.events).every((e) => e.eventName === 'task.created')
JSON.parse('')
JSON.parse("{'a':1}")
JSON.parse('1e5')
JSON.parse('"\\\\ud800"').length
JSON.parse('{"__proto__": 1}').__proto__
JSON.stringify({a: [1, undefined, () => 1], b: undefined, c: NaN, d: new Date(0)})
JSON.stringify({a: 1, b: [1, 2]}, null, 2)
JSON.stringify({a: 1, b: 2}, ['b'])
JSON.stringify('\\u2028\\ud800任')
JSON.stringify(1n)
JSON.stringify((() => { const a = {}; a.a = a; return a })())
""".strip().split("\n")

DATES = """
new Date(0).toISOString()
new Date('2026-01-15').getTime()
new Date('2026-01-15T09:00:00').getTime()
new Date('2026-01-15T09:00:00+08:00').getTime()
new Date('2026-01-15T09:00:00.123Z').getMilliseconds()
new Date(2026, 0, 31).toISOString()
new Date(2026, 12, 1).getMonth()
new Date(2026, 1, 30).getDate()
new Date(99, 0).getFullYear()
Date.UTC(2026, 1, 29)
new Date('nonsense').getTime()
new Date(NaN).toISOString()
new Date(8.64e15 + 1).getTime()
new Date(ctx.timestamp).getDay()
new Date(ctx.timestamp).getHours()
new Date(ctx.timestamp).getTimezoneOffset()
new Date(ctx.timestamp).toJSON()
new Date(ctx.timestamp) < new Date()
new Date(ctx.timestamp) - new Date('2026-01-14T09:00:00Z')
new Date(0).toUTCString()
new Date(0).toDateString()
Date.parse('Thu, 01 Jan 1970 00:00:00 GMT')
Date.parse('2026-02-30T00:00:00Z')
typeof Date()
new Date(2024, 1, 29).setFullYear(2025)
new Date('2026-01-15T24:00:00Z').toISOString()
new Date(-1).toISOString()
new Date('+275760-09-13T00:00:00.000Z').getTime()
Date.now() > 1.7e12
""".strip().split("\n")

PATTERNS = """
/紧急/.test(ctx.taskTitle)
/^task-\\d+$/.test(ctx.taskId)
/(\\d+)-(\\d+)/.exec('a 12-34 b').slice()
/(?<y>\\d{4})-(?<m>\\d\\d)/.exec(ctx.timestamp).groups.m
/(?<=: )\\S+/.exec(ctx.taskTitle)[0]
/(?<!x)a/.test('xa')
/a(?=b)/.test('ab') && !/a(?!b)/.test('ab')
/^.$/.test('😀')
/^.$/u.test('😀')
/\\p{Script=Han}/u.test(ctx.taskTitle)
/\\p{L}+/u.exec('été 1')[0]
/\\p{Emoji_Presentation}/u.test(ctx.taskTitle)
/\\p{Nope}/u
/[\\p{L}--[a-z]]/v.test('A')
/^\\w+$/.test('café')
/\\bBug\\b/.test(ctx.taskTitle)
/bug/i.test(ctx.taskTitle)
/É/i.test('é')
/ſ/i.test('s')
/ſ/iu.test('s')
/a.c/.test('a\\nc')
/a.c/s.test('a\\nc')
/^b/m.test('a\\nb')
/\\s/.test('\\u00a0')
/[^]/.test('\\n')
/(a)|(b)/.exec('b')
/(z)((a+)?(b+)?(c))*/.exec('zaacbbbcac').slice()
/a{2,3}/.exec('aaaa')[0]
/a+?/.exec('aaa')[0]
/(.)\\1/.test('abba')
/\\u{61}/.test('u'.repeat(61))
/\\u{61}/u.test('a')
/[/]\\//.test('//')
/\\0/.test('\\0')
/[\\b]/.test('\\b')
'a1b2'.replace(/\\d/g, (d) => d * 2)
'2026-01-15'.replace(/(\\d+)-(\\d+)-(\\d+)/, '$3.$2.$1')
'2026-01'.replace(/(?<y>\\d+)-(?<m>\\d+)/, '$<m>/$<y>')
'aBc'.match(/[A-Z]/).index
'abcabc'.match(/b/g)
'x'.match(/y/)
[...'a1b22'.matchAll(/\\d+/g)].map((m) => m[0] + m.index)
'abc'.search(/c/)
'a b  c'.split(/\\s+/)
'a1b2'.split(/(\\d)/)
'abc'.split(/(?:)/)
new RegExp('a+', 'g').flags
new RegExp('[').source
new RegExp('a', 'xx')
/a/y.test('ba')
/a/d.exec('ba').indices[0]
/x/gimsuyd.flags
RegExp('/').source
String(/a\\/b/g)
/a/ instanceof RegExp
/(?:)/.test('')
/(a*)*b/.test('aab')
/^(?:[a-z0-9]+\\.)+com$/i.test('A.b.COM')
""".strip().split("\n")

# Not here, because ECMAScript leaves them to the implementation and they do differ: the name of the time zone in
# `String(new Date())`, the last digit of `Math.cbrt`, and the order of `localeCompare` beyond ASCII.
TABLE = list(dict.fromkeys((*COERCION, *OPERATORS, *STRINGS, *ARRAYS, *DATES, *PATTERNS)))


@pytest.fixture(scope="module")
def node() -> dict[str, tuple[str | None, str | None]]:
    path = shutil.which("node")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Node is not installed, and CI compares conditions with it")
        pytest.skip("Node is not installed, so there is nothing to compare conditions with")
    asked = json.dumps({"ctx": CTX, "expressions": TABLE})
    done = subprocess.run(
        [path, "-e", NODE], input=asked, capture_output=True, text=True, timeout=60, check=True, env={"TZ": "UTC"}
    )
    answers: list[Any] = json.loads(done.stdout)
    return {expression: (value, error) for expression, (value, error) in zip(TABLE, answers, strict=True)}


def test_the_table_is_long() -> None:
    assert len(TABLE) >= 600


async def test_every_expression_has_nodes_value_or_error(
    judge: ConditionTester, node: dict[str, tuple[str | None, str | None]]
) -> None:
    asked = [
        expression
        if error
        else f"{SHOWN}(\n{expression}\n) === {json.dumps(value) if value is not None else 'undefined'}"
        for expression, (value, error) in node.items()
    ]
    answers = await judge.all(asked, **CTX)
    wrong = []
    for (expression, (value, error)), answer in zip(node.items(), answers, strict=True):
        if error is None and not answer.matched:
            wrong.append(f"{expression}: not {value} but {answer.error or await shown(judge, expression)}")
        if error is not None and (answer.error is None or not answer.error.removeprefix("threw ").startswith(error)):
            wrong.append(f"{expression}: Node says {error}, we say {answer}")
    assert "\n".join(wrong) == ""


async def shown(judge: ConditionTester, expression: str) -> str | None:
    """The value of an expression here, by way of an error's text."""
    return (await judge.one(f"(() => {{ throw {SHOWN}(\n{expression}\n) }})()", **CTX)).error
