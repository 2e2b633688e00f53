//! The expression language: precedence against Python's own parser, errors, printing, hostile texts.

use rusttorch_ir::expr::{Attr, Expr, ExprErrorKind, MAX_LENGTH, Program, parse};
use rusttorch_ir::op::{OpDef, OpTable, Row};
use std::time::{Duration, Instant};

fn program(text: &str) -> Program {
    parse(text, None).unwrap_or_else(|e| panic!("{e}"))
}

/// The result as nested calls, without operators.
fn calls(p: &Program) -> String {
    let mut texts: Vec<String> = Vec::new();
    for node in p.nodes() {
        texts.push(match node {
            Expr::Param(i) => p.params()[*i].name.clone(),
            Expr::Literal(a) => a.to_string(),
            Expr::Call { op, args, kwargs } => {
                let args = args.iter().map(|a| texts[a.index()].clone());
                let kwargs = kwargs.iter().map(|(k, a)| format!("{k}={}", texts[a.index()]));
                format!("{op}({})", args.chain(kwargs).collect::<Vec<_>>().join(", "))
            }
        });
    }
    texts[p.outputs()[0].index()].clone()
}

/// `precedence.txt` holds random expressions and how CPython's `ast` groups them.
#[test]
fn precedence_is_that_of_python() {
    for line in include_str!("precedence.txt").lines() {
        let (text, grouped) = line.split_once("  =>  ").expect("two columns");
        assert_eq!(calls(&program(text)), grouped, "{text}");
    }
}

#[test]
fn printed_programs_parse_to_themselves() {
    let more = "y = exp(x)\ny*y + f(y, dim=[1, -2], mode='a')\nb - a - (c - d)\n2 ** -x ** 2\n-(1)**x\n(-1)**x\n\
                swiglu(a, b, beta=1.0) = a * sigmoid(beta*a) * b\n(a < b) < c\na is None\na, b*a";
    let random = include_str!("precedence.txt").lines().filter_map(|l| l.split_once("  =>  ")).map(|l| l.0);
    for text in random.chain(more.lines().filter(|l| !l.starts_with("y "))) {
        let once = program(text).to_string();
        let twice = program(&once);
        assert_eq!(twice.params(), program(text).params(), "{text} printed as {once}");
        assert_eq!(twice.outputs().len(), program(text).outputs().len());
        if program(text).outputs().len() == 1 {
            assert_eq!(calls(&twice), calls(&program(text)), "{text} printed as {once}");
        }
    }
}

#[test]
fn headers_statements_and_literals() {
    let p = program("swiglu(a, b, beta=1.0): s = sigmoid(beta * a); a * s * b");
    assert_eq!(p.name.as_deref(), Some("swiglu"));
    assert_eq!(p.params()[2].default, Some(Attr::Float(1.0)));
    assert_eq!(calls(&p), "mul(mul(a, sigmoid(mul(1.0, a))), b)".replace("1.0", "beta"));
    let names = |t: &str| program(t).params().iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    assert_eq!(names("t = z * a\n\n t + m(b)  # done"), ["z", "a", "b"]);
    assert_eq!(
        calls(&program("f(0x1.8p3, 0x1p-1074, 1e400, -0x10, 1_000, 'tanh', axis=(0, 1), keepdims=True)")),
        "f(12.0, 5e-324, inf, -16, 1000, 'tanh', dim=[0, 1], keepdim=True)"
    );
    assert_eq!(calls(&program("-9223372036854775808")), "-9223372036854775808");
}

#[test]
fn errors_point_at_their_place() {
    let mut table = OpTable::new();
    for name in ["sigmoid", "add"] {
        table.insert(OpDef::from(&Row { name, params: "x, alpha=1", ..Row::DEFAULT }));
    }
    let cases: &[(&str, ExprErrorKind, usize, &str)] = &[
        ("a + sigmod(b)", ExprErrorKind::UnknownFunction, 5, "did you mean `sigmoid`?"),
        ("a @ b", ExprErrorKind::Unsupported, 3, "`@` is not supported"),
        ("x[1]", ExprErrorKind::Unsupported, 2, "indexing is not supported"),
        ("a +", ExprErrorKind::Syntax, 4, "found the end of the text"),
        ("(a", ExprErrorKind::Syntax, 3, "expected `)`"),
        ("sigmoid(a, 1, 2)", ExprErrorKind::Arguments, 1, "takes 2 positional arguments but 3 were given"),
        ("sigmoid(a, beta=2)", ExprErrorKind::Arguments, 1, "unexpected keyword argument 'beta'"),
        ("y = a", ExprErrorKind::Syntax, 6, "the last statement must be an expression"),
        ("f(a) = a + bb", ExprErrorKind::Syntax, 12, "name `bb` is not defined"),
        ("pi = 3; pi", ExprErrorKind::Syntax, 1, "cannot assign to `pi`"),
        ("99999999999999999999", ExprErrorKind::TooLarge, 1, "64 bits"),
        ("torch.exp(a)", ExprErrorKind::Unsupported, 6, "without a module"),
        ("a ? b", ExprErrorKind::Syntax, 3, "unexpected character"),
    ];
    for &(text, kind, column, wording) in cases {
        let e = parse(text, Some(&table)).expect_err(text);
        assert_eq!((e.kind(), e.column()), (kind, column), "{text}: {e}");
        assert!(e.to_string().contains(wording), "{text}: {e}");
    }
    let rendered = parse("y = 1\na + sigmod(b)", Some(&table)).expect_err("unknown").to_string();
    assert_eq!(
        rendered,
        "unknown function `sigmod` (line 2, column 5)\n    a + sigmod(b)\n        ^^^^^^\nhint: did you mean `sigmoid`?"
    );
}

#[test]
fn hostile_texts_end_soon() {
    let start = Instant::now();
    let n = MAX_LENGTH / 4;
    let deep = ["(", "-", "not ", "f(", "[", "f([", "a if b else ", "2**", "~"].map(|s| s.repeat(n / s.len()));
    for text in &deep {
        assert!(parse(text, None).is_err());
        assert!(parse(&format!("{text}a"), None).is_err());
    }
    let long = format!("a{}", "+a".repeat(n));
    assert_eq!(program(&long).to_string().matches('a').count(), n + 1);
    let names: String = (0..30_000).map(|i| format!("v{i} = v{}*v{} + {i}\n", i / 2, i / 3)).collect();
    let big = program(&format!("{names} v29999"));
    assert!(parse(&big.to_string(), None).is_ok());
    assert!(parse(&"a".repeat(MAX_LENGTH + 1), None).is_err());
    for text in ["", "\0", "é", "'", "0x", "1e", "0x1.p", "((((", "= 1", "a = ", ";;;", "f(", "f(x) =", "a b", "1.2.3"]
    {
        let _ = parse(text, None);
    }
    let digits = "9".repeat(MAX_LENGTH);
    assert!(parse(&digits, None).is_err() && parse(&format!("{}.5", &digits[2..]), None).is_ok());
    assert!(parse(&format!("0x{}p0", "f".repeat(n)), None).is_ok());
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
}

#[test]
fn numbers_are_written_as_in_python() {
    for good in ["0", "00", "0_0", "1_000", "0x_1f", "0b1_0", "1_0.5_0", "1.e-5", "0o17", "01.5", ".5"] {
        parse(&format!("x + {good}"), None).unwrap_or_else(|e| panic!("{good}: {e}"));
    }
    for bad in ["010", "1__0", "1_", "0x", "0x1__f", "1_.5", "1._5", "0b2", "1_e5"] {
        let error = parse(&format!("x + {bad}"), None).expect_err(bad);
        assert_eq!(error.kind(), ExprErrorKind::Syntax, "{bad}");
    }
}
