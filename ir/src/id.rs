//! Typed indices. A bare `usize` never names an entity of a kernel or a graph.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(pub u32);
        impl $name {
            /// The index into the arena.
            #[inline]
            pub fn index(self) -> usize { self.0 as usize }
            /// The id of the arena's element `i`.
            #[inline]
            pub fn new(i: usize) -> Self { $name(u32::try_from(i).expect("arenas are far below 2^32")) }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    )*};
}

ids! {
    /// A run-time 64-bit integer of a kernel: an extent or a stride, in elements.
    SymId "s",
    /// A loop axis of a kernel.
    AxisId "i",
    /// A buffer of a kernel: argument, temporary or row scratch.
    BufferId "b",
    /// A run-time number of a kernel.
    ScalarId "c",
    /// A value of a kernel.
    ValueId "%",
    /// A node of a graph.
    NodeId "n",
    /// A node of an untyped program.
    ExprId "e",
}
