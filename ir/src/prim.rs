//! The closed set of primitives, one row each.
//!
//! A primitive is what an emitter must know; everything else is an op, written over primitives in
//! the expression language. Emitters match on [`Prim`] exhaustively, without a `_` arm, so that a
//! new primitive is found by compile errors.

/// How operand and result types of a primitive relate. `T` is the instruction's type: the type of
/// its operands for comparisons, of its result otherwise. f16 and bf16 are selected and converted, to and
/// from f32; nothing else has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Typing {
    /// T.. -> T, T float.
    Float,
    /// T.. -> T, T float or integer (wrapping), not bool.
    Number,
    /// T.. -> T, T integer or bool.
    Bits,
    /// T.. -> T, T integer, not bool.
    Int,
    /// T T -> bool, any T.
    Compare,
    /// bool T T -> T.
    Select,
    /// Any -> T; of f16 and bf16 the other side is f32, or the same.
    Convert,
    /// A type of the same size -> T.
    Bitcast,
}

macro_rules! prims {
    ($($(#[$doc:meta])* $variant:ident $name:literal $arity:literal $typing:ident;)*) => {
        /// A primitive operation. See the table for names, arities and meanings.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Prim { $($(#[$doc])* $variant),* }

        impl Prim {
            /// Every primitive, in table order.
            pub const ALL: &'static [Prim] = &[$(Prim::$variant),*];
            /// Name in kernel text.
            pub fn name(self) -> &'static str { match self { $(Prim::$variant => $name),* } }
            /// Number of operands.
            pub fn arity(self) -> usize { match self { $(Prim::$variant => $arity),* } }
            /// Typing rule.
            pub fn typing(self) -> Typing { match self { $(Prim::$variant => Typing::$typing),* } }
            /// The primitive of this name.
            pub fn parse(name: &str) -> Option<Prim> {
                match name { $($name => Some(Prim::$variant),)* _ => None }
            }
        }
    };
}

prims! {
    /// a + b; integers wrap.
    Add "add" 2 Number;
    /// a - b; integers wrap.
    Sub "sub" 2 Number;
    /// a * b; integers wrap.
    Mul "mul" 2 Number;
    /// a / b, IEEE.
    Div "div" 2 Float;
    /// a * b + c with one rounding.
    Fma "fma" 3 Float;
    /// -a; integers wrap, floats flip the sign bit.
    Neg "neg" 1 Number;
    /// |a|; the smallest integer stays, floats clear the sign bit.
    Abs "abs" 1 Number;
    /// a > b ? b : isnan(b) ? b : a. Not commutative in signed zeros.
    Min "min" 2 Number;
    /// a < b ? b : isnan(b) ? b : a. Not commutative in signed zeros.
    Max "max" 2 Number;
    /// IEEE square root.
    Sqrt "sqrt" 1 Float;
    /// Largest integer not above a.
    Floor "floor" 1 Float;
    /// Smallest integer not below a.
    Ceil "ceil" 1 Float;
    /// Towards zero.
    Trunc "trunc" 1 Float;
    /// Nearest integer, ties to even.
    Rint "rint" 1 Float;
    /// Magnitude of a with the sign bit of b.
    CopySign "copysign" 2 Float;
    /// (a * 2^(m>>1)) * 2^(m-(m>>1)) where m is n limited to +-252 (f32) or +-2044 (f64), a NaN
    /// counting as the lower limit, then rounded to the nearest integer. Equals a * 2^n with one
    /// rounding whenever the first product is normal.
    Scale "scale" 2 Float;
    /// a == b.
    Eq "eq" 2 Compare;
    /// a != b (true for NaN).
    Ne "ne" 2 Compare;
    /// a < b.
    Lt "lt" 2 Compare;
    /// a <= b.
    Le "le" 2 Compare;
    /// a > b.
    Gt "gt" 2 Compare;
    /// a >= b.
    Ge "ge" 2 Compare;
    /// mask ? a : b, lane by lane.
    Select "select" 3 Select;
    /// Bitwise and; logical for bool.
    And "and" 2 Bits;
    /// Bitwise or; logical for bool.
    Or "or" 2 Bits;
    /// Bitwise exclusive or; logical for bool.
    Xor "xor" 2 Bits;
    /// Bitwise complement; logical for bool.
    Not "not" 1 Bits;
    /// a << b; 0 when b is not in [0, width).
    Shl "shl" 2 Int;
    /// a >> b, arithmetic for signed types, logical for u8; the sign (0 for u8) fills when b is not in [0, width).
    Shr "shr" 2 Int;
    /// a >> b with zeros shifted in; 0 when b is not in [0, width).
    Lshr "lshr" 2 Int;
    /// a / b towards zero; 0 and an error record when b is 0; the smallest integer by -1 wraps.
    IDiv "idiv" 2 Int;
    /// a - idiv(a, b) * b; 0 and an error record when b is 0.
    IRem "irem" 2 Int;
    /// Upper half of the double-width unsigned product.
    MulHi "mulhi" 2 Int;
    /// Conversion between numeric types: to float rounds to nearest even; float to integer truncates
    /// and saturates, NaN is 0 (to narrower integers than i32: by way of i32, then wraps); integer to integer
    /// wraps; to bool is != 0.
    Convert "convert" 1 Convert;
    /// Reinterprets the bits (f32/i32, f64/i64).
    Bitcast "bitcast" 1 Bitcast;
}

impl Prim {
    /// True for comparisons, whose result is bool.
    pub fn is_compare(self) -> bool {
        self.typing() == Typing::Compare
    }
}
