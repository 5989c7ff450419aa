from __future__ import annotations

import pytest

from dfnb.notebook.squeeze import squeeze


@pytest.mark.parametrize(
    ("source", "squeezed"),
    [
        ('const { a } = f("x = { y }", b ? 1 : 2);', 'let{a}=f("x = { y }",b?1:2);'),
        ("// a remark\nf(1); /* and\nanother */ g();", "f(1);g();"),
        ('f("// no remark");', 'f("// no remark");'),
        ("write(`${a + 1} of ${ b }, // ${`in ${ c }`}`);", "write(`${a+1} of ${b}, // ${`in ${c}`}`);"),
        ("write(`\\`$ {a}`);", "write(`\\`$ {a}`);"),
        ("return a - -b + ++c;", "return a- -b+ ++c;"),
        ("a++ + b;", "a++ +b;"),
        ("return x / 2 / y;", "return x/2/y;"),
        ('f(/[/"]+ \\/ a/g, 1);', 'f(/[/"]+ \\/ a/g,1);'),
        ("if (a) { f(); g(); }", "if(a){f();g()}"),
        ("f((x) => g(x), async (y) => 1);", "f(x=>g(x),async(y)=>1);"),
        ("f([1, 2,], { a: true, b: false, });", "f([1,2],{a:!0,b:!1});"),
        ("const a = 1;\nconst b = 2; let c;", "let a=1,b=2,c;"),
        ("const f = () => {\n  const a = 1;\n};\nconst b = 2;", "let f=()=>{let a=1},b=2;"),
        ("for (const [a] of b) { f(a); }", "for(let[a]of b){f(a)}"),
        ("const a = f(() => 1); if (a) g();", "let a=f(()=>1);if(a)g();"),
        ("return `a`; typeof x;", "return`a`;typeof x;"),
    ],
    ids=str,
)
def test_what_only_people_need_is_left_out(source: str, squeezed: str):
    assert squeeze(source) == squeezed


def test_names_that_are_no_property_anywhere_are_shortened_everywhere():
    source = "function double(number) { const factor = 2; return `${factor} * ${number * factor}`; } double(3);"
    assert squeeze(source) == "function ab(number){let aa=2;return`${aa} * ${number*aa}`}ab(3);"


@pytest.mark.parametrize(
    "source",
    [
        "let total=row.total;f(total);",
        "let total=1;f({total});",
        "let total=1;f({a:1,total,b:2});",
        "let{total}=row;f(total);",
        "let{total=1}=row;f(total);",
        "class A{total(){return 1}}let total=2;",
        "let total={total:1};",
        "f(total,document);",
    ],
    ids=str,
)
def test_names_that_may_be_a_property_or_come_from_elsewhere_stay(source: str):
    assert squeeze(source) == source
