//! What a body can ask about its values while it is lowered: ranks, extents, dtypes. The answers are
//! literals, so that conditions on them choose what is lowered at all, and errors can name them.

use super::lower::{LowerError, LowerErrorKind, Lowered, Lowerer, Scope, Value};
use super::shapes::{dimension, integers};
use crate::expr::Attr;

/// A function of a value's type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fact {
    /// (x): the number of dimensions.
    Rank,
    /// (x): all extents.
    Shape,
    /// (x, dim): one extent; of several dims, their product.
    Size,
    /// (x, dim): the list of one extent or of several.
    Sizes,
    /// (x): a Python number, or made of such; only where the rule leaves them.
    IsNumber,
    /// (x)
    IsFloat,
    /// (x): its dtype as PyTorch's errors name it.
    DTypeName,
    /// (x, first): the dimensions from `first` on.
    DimsFrom,
    /// (x, dim): all other dimensions.
    DimsBut,
    /// (x, dim): the shape under which one value per index along `dim` broadcasts to x.
    ChannelShape,
    /// (items...): the list of them.
    List,
}

impl Lowerer<'_> {
    pub(super) fn fact(&self, fact: Fact, args: &[Value], scope: Scope<'_>) -> Lowered<Attr> {
        let shape = match &args[0] {
            Value::Node { id, .. } => self.shape(*id),
            Value::Attr(_) => &[],
        };
        let list = |dims: &mut dyn Iterator<Item = usize>| Attr::List(dims.map(|d| Attr::Int(d as i64)).collect());
        // A list, as `norm_dims` gives, stands for its dimensions.
        let dims = || {
            let given = integers(&args[1], scope.name(), "dim")?;
            given.into_iter().map(|d| dimension(d, shape.len())).collect::<Lowered<Vec<usize>>>()
        };
        let dtype = || self.promote(&args[..1]);
        Ok(match fact {
            Fact::Rank => Attr::Int(shape.len() as i64),
            Fact::Shape => Attr::List(shape.iter().map(|&n| Attr::Int(n)).collect()),
            Fact::Size => Attr::Int(dims()?.into_iter().filter_map(|d| shape.get(d)).product()),
            Fact::Sizes => {
                Attr::List(dims()?.into_iter().filter_map(|d| shape.get(d)).map(|&n| Attr::Int(n)).collect())
            }
            Fact::IsNumber => Attr::Bool(!matches!(args[0], Value::Node { weak: false, .. })),
            Fact::IsFloat => Attr::Bool(dtype().is_float()),
            Fact::DTypeName => Attr::Str(dtype().c_name().to_string()),
            Fact::DimsFrom => {
                let first = dims()?.first().copied().unwrap_or(0);
                list(&mut (first..shape.len()))
            }
            Fact::DimsBut => {
                let but = dims()?;
                list(&mut (0..shape.len()).filter(|d| !but.contains(d)))
            }
            Fact::ChannelShape => {
                let dim = dims()?.first().copied().unwrap_or(0);
                let tail = shape.iter().enumerate().skip(dim);
                Attr::List(tail.map(|(d, &n)| Attr::Int(if d == dim { n } else { 1 })).collect())
            }
            Fact::List => {
                let items = args.iter().map(|v| match v {
                    Value::Attr(a) => Ok(a.clone()),
                    Value::Node { .. } => {
                        let message = format!("a list of values that are not known, in {}", scope.name());
                        Err(LowerError::new(LowerErrorKind::Internal, message))
                    }
                });
                Attr::List(items.collect::<Lowered<Vec<Attr>>>()?)
            }
        })
    }
}
