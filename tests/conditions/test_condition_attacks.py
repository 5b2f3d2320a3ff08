"""Everything that a hostile condition was seen to try; after each, all other conditions are right."""

import time

import pytest

from tests.conditions.conditions import ConditionTester

QUADRATIC = "(()=>{const s='a'.repeat(1e6);let n=0;for(let i=0;i<1e9;i++)n+=s.indexOf(s.slice(0,5e5)+'b');return n})()"

STOPPED = [
    "(()=>{while(true);})()",
    "(()=>{for(;;){try{while(true);}catch{}finally{continue}}})()",
    "Array.prototype.map.call({length:2**53-1},x=>x)",
    "Array.prototype.indexOf.call({length:2**53-1},5)",
    "/^(a+)+$/.test('a'.repeat(40)+'b')",
    "/(.*a){25}/.test('a'.repeat(60))",
    "/^(([a-z])+.)+[A-Z]([a-z])+$/.test('a'.repeat(60))",
    "({get then(){while(true);}})",
    "[...(function*(){for(;;)yield 1})()].length",
]

ERRORS = [
    # memory
    "'x'.repeat(2**30)",
    "(()=>{let s='x';for(;;)s+=s})()",
    "(()=>{const a=[];for(;;)a.push(a.length)})()",
    "new Array(2**32-1).fill(1)",
    "JSON.parse('['+'1,'.repeat(5e6)+'1]')",
    "Array.from({length:5e6},(_, i)=>-i).sort()",
    "(()=>{const a=[];a.length=2**31;a.splice(0,0,...Array(1e6));return a})()",
    "'\\u0344'.repeat(3e6).normalize('NFD')",
    "'a'.repeat(2e6).replaceAll('a','bbbbbbbbbb')",
    "(()=>{let n=3n;for(;;)n=n*n})()",
    # stack
    "(()=>{const f=()=>f();return f()})()",
    "(()=>{const o={get a(){return this.a}};return o.a})()",
    "JSON.parse('['.repeat(1e6))",
    # errors that bite
    "(()=>{throw {toString(){while(true);},get stack(){while(true);},get message(){while(true);}}})()",
    "(()=>{const e=new Error('x');Object.defineProperty(e,'message',{get(){while(true);}});throw e})()",
    "(()=>{const e=new Error('x');Object.defineProperty(e,'name',{get(){while(true);}});throw e})()",
    "(()=>{const e=new Error('x');Object.defineProperty(e,'stack',{get(){while(true);}});throw e})()",
    "(()=>{class E extends Error{get name(){while(true);}};throw new E('x')})()",
    "({get then(){throw 1}})",
    "(()=>{throw null})()",
    "(()=>{throw undefined})()",
    "(()=>{throw Symbol('x')})()",
    "(()=>{throw ()=>1})()",
    "(()=>{throw 10n})()",
    "(()=>{throw 'x'.repeat(5e6)})()",
    "(()=>{throw new Error('x'.repeat(5e6))})()",
    "(()=>{throw new Error('\\ud800\\0')})()",
    "(()=>{throw Object.create(null)})()",
    # what must not be there
    "new Promise(()=>1)",
    "(async()=>true)()",
    "import('os')",
    "({then(){}})",
    "new Proxy({},{})",
    "eval('1')",
    "(0,eval)('1')",
    "new Function('return 1')()",
    "(()=>1).constructor('return 1')()",
    "(function*(){}).constructor('yield 1')().next()",
    "(async()=>1).constructor('return 1')()",
    "(async function*(){}).constructor('return 1')()",
    "Reflect.construct((()=>1).constructor,['return 1'])",
    "Object.getPrototypeOf(async()=>1).constructor('return 1')()",
    "new Intl.NumberFormat('de')",
    "new ArrayBuffer(8)",
    "new Uint8Array(8)",
    "new SharedArrayBuffer(8)",
    "Atomics.wait",
    "new WeakRef({})",
    "setTimeout(()=>1)",
    "queueMicrotask(()=>1)",
    "process.env",
    "require('fs')",
    # what must not change
    "globalThis.leak=1",
    "leak=1",
    "Object.prototype.leak=1",
    "Array.prototype.includes=()=>true",
    "String.prototype.includes=()=>true",
    "JSON.parse=()=>1",
    "Object.defineProperty(Object.prototype,'leak',{value:1})",
    "Object.setPrototypeOf(Object.prototype,{leak:1})",
    "Object.getPrototypeOf(function*(){}).prototype.leak=1",
    "Object.getPrototypeOf(Object.getPrototypeOf((function*(){})())).next=()=>1",
    "Object.getPrototypeOf([][Symbol.iterator]()).next=()=>1",
    "Object.getPrototypeOf(new Map().entries()).next=()=>1",
    "Object.getPrototypeOf('a'.matchAll(/a/g)).next=()=>1",
    "Object.getPrototypeOf(Object.getPrototypeOf(Iterator.from({next(){}}))).map=1",
    "Error.prepareStackTrace=()=>{while(true);}",
    "Error.stackTraceLimit=1e9",
    "Error.captureStackTrace({})",
    "RegExp.prototype.exec=()=>null",
    "ctx.status='other'",
    "delete ctx.status",
    "ctx.__proto__.leak=1",
    "(()=>1).call.leak=1",
    "delete globalThis.JSON",
]

TRUE = [
    "Symbol('x')",
    "10n",
    "()=>1",
    "(function*(){})()",
    "({valueOf(){throw 1},toString(){throw 1},[Symbol.toPrimitive](){throw 1}})",
    "'\\0'",
    "'\\ud800'",
    "-1",
    "[]",
    "({then:1})",
    "new Error('x')",
    "new Date(NaN)",
    "Object.create(null)",
    "/x/",
]

REFUSED = [
    "1)}); while(true); (()=>{(1",
    "1); while(1); (2",
    "1]; [2",
    "1}; {2",
    "...x) => (1",
    "1, ...[2]",
    "",
    "return 1",
    "let x = 1",
    "var x = 1; x",
    "1;;",
    "1; 2",
    "if (1) 2",
    "/* ",
    "`",
    "'",
    "//",
    "(" * 5000,
    "[" * 5000 + "]" * 5000,
    "a\0b",
    "'\ud800'",
    "x" * 10_001,
    "await 1",
    "yield 1",
    "new.target",
    "super.x",
    "import.meta",
    "with(ctx) 1",
    "010",
    "arguments = 1",
    "1 => 2",
    "function",
    "}",
    "*/",
    "\\",
]


async def unharmed(judge: ConditionTester) -> None:
    """The own next conditions and another workspace's are right, and nothing has leaked."""
    for workspace in (judge.workspace, "other"):
        sane = ConditionTester(judge.conditions, judge.clock, workspace)
        judged = await sane.all(
            [
                "ctx.status === 'blocked'",
                "ctx.title.includes('紧急')",
                "JSON.parse(ctx.changes).status === 'x'",
                "typeof leak === 'undefined' && ({}).leak === undefined && !('leak' in [])",
                "[...'ab'].map(c => c + c).join() === 'aa,bb' && !'abc'.includes('x') && /b+/.exec('abb')[0] === 'bb'",
            ],
            status="blocked",
            title="不急",
            changes='{"status":"x"}',
        )
        assert [(j.matched, j.error) for j in judged] == [(True, None), (False, None), *[(True, None)] * 3]


@pytest.mark.parametrize("attack", STOPPED)
async def test_what_does_not_end_is_stopped(judge: ConditionTester, attack: str) -> None:
    began = time.process_time()
    judged = await judge.one(attack, status="x")
    assert not judged.matched
    assert judged.error is not None
    assert judged.error.startswith(("took more than 50 ms", "InternalError: out of memory", "RangeError"))
    assert time.process_time() - began < 0.5
    await unharmed(judge)


@pytest.mark.parametrize("attack", ERRORS)
async def test_what_is_forbidden_is_an_error(judge: ConditionTester, attack: str) -> None:
    judged = await judge.one(attack, status="x")
    assert not judged.matched
    assert judged.error
    assert len(judged.error) < 400
    await unharmed(judge)


@pytest.mark.parametrize("result", TRUE)
async def test_a_strange_result_is_true_and_never_converted(judge: ConditionTester, result: str) -> None:
    judged = await judge.one(result)
    assert judged.matched, judged.error
    await unharmed(judge)


@pytest.mark.parametrize("attack", REFUSED)
async def test_what_is_no_expression_is_refused_and_never_run(judge: ConditionTester, attack: str) -> None:
    if attack:
        [problem] = await judge.conditions.check(attack)
        assert problem.severity == "error"
        judged = await judge.one(attack)
        assert not judged.matched
        assert judged.error
        await unharmed(judge)
    else:
        assert (await judge.one(attack)).matched  # nothing at all means always


@pytest.mark.parametrize(
    "attack", [QUADRATIC, "(()=>{let a=[];for(;;)try{for(;;)a.push('x'.repeat(1e5)+a.length)}catch{a=a.slice(1)}})()"]
)
async def test_what_cannot_be_stopped_is_killed_and_the_others_are_judged(judge: ConditionTester, attack: str) -> None:
    judged = await judge.all(["ctx.n === 1", attack, "ctx.n === 2", "ctx.n === 1"], n=1)
    assert [j.matched for j in judged] == [True, False, False, True]
    assert judged[1].error in ("took too long and had to be killed", "took more than 50 ms", "used more than 8 MiB")
    await unharmed(judge)
