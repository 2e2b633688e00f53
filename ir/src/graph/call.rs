//! A call of an op: arguments bound, values promoted by the op's rule, the body in the call's place.

use super::lower::{Inlined, LowerError, LowerErrorKind, Lowered, Lowerer, MAX_INLINE, Scope, Value};
use crate::dtype::{DType, Literal};
use crate::expr::{Attr, Functions, error::did_you_mean};
use crate::id::NodeId;
use crate::op::{Autocast, Bound, DTypeRule, OpDef};

impl Lowerer<'_> {
    /// The value of a call by name, of an op or of an intrinsic.
    pub(super) fn call(
        &mut self,
        name: &str,
        args: &[Value],
        kwargs: &[(&str, Value)],
        scope: Scope<'_>,
    ) -> Lowered<Value> {
        let is_body = scope.op.is_some_and(|op| op.builtin);
        if kwargs.is_empty() {
            if let Some(folded) = super::fold::fold(name, args) {
                return folded.map(Value::Attr);
            }
            if (is_body || name == "is_none")
                && let Some(value) = self.intrinsic(name, args, scope)?
            {
                return Ok(value);
            }
        }
        let Some(op) = self.table.lookup(name).filter(|op| is_body || op.is_callable()) else {
            let names = self.table.names();
            let hint = did_you_mean(name, names.iter().map(String::as_str)).map_or(String::new(), |h| format!(": {h}"));
            return Err(LowerError::new(LowerErrorKind::Name, format!("unknown function `{name}`{hint}")));
        };
        if scope.depth >= MAX_INLINE {
            let message = format!("`{name}` is defined by itself, or ops are nested more than {MAX_INLINE} deep");
            return Err(LowerError::new(LowerErrorKind::Runtime, message));
        }
        let keywords: Vec<&str> = kwargs.iter().map(|k| k.0).collect();
        let bound = op.bind(args.len(), &keywords).map_err(|m| LowerError::new(LowerErrorKind::Type, m))?;
        let mut params: Vec<Value> = (bound.iter().zip(&op.params))
            .map(|(bound, param)| match bound {
                Some(Bound::Positional(i)) => args[*i].clone(),
                Some(Bound::Keyword(k)) => kwargs[*k].1.clone(),
                None => Value::Attr(param.default.clone().expect("bind requires the others")),
            })
            .collect();
        for (value, param) in params.iter().zip(&op.params) {
            if param.is_static && matches!(value, Value::Node { .. }) {
                let message =
                    format!("{name}(): argument '{}' must be a literal, not a tensor or a run-time number", param.name);
                return Err(LowerError::new(LowerErrorKind::Type, message));
            }
        }
        let values = params.iter().zip(&op.params).filter(|(v, p)| !p.is_static && v.is_number());
        let numbers = only_numbers(&values.map(|(v, _)| v.clone()).collect::<Vec<Value>>());
        let autocast = self.autocast;
        if let Some(lower) = autocast {
            match op.autocast {
                Autocast::Keep => {}
                Autocast::F32 => self.autocast_to(DType::F32, &mut params),
                Autocast::Lower => self.autocast_to(lower, &mut params),
            }
        }
        let dtype = self.apply_rule(&op, &mut params)?;
        let Some(body) = op.program(dtype) else {
            let message = format!("\"{name}\" not implemented for '{}'", dtype.c_name());
            return Err(LowerError::new(LowerErrorKind::NotImplemented, message));
        };
        let body =
            body.map_err(|e| LowerError::new(LowerErrorKind::Internal, format!("in the body of {name}: {e}")))?;
        let scope = Scope { op: Some(&op), dtype: dtype.compute(), depth: scope.depth + 1 };
        if op.builtin {
            self.autocast = None;
        }
        let shape = op.is_elementwise().then(|| self.shape_of_all(&op, &params)).transpose()?.flatten();
        let results = self.program(&body, &params, scope);
        self.autocast = autocast;
        let mut results = results?;
        match results.pop() {
            Some(mut value) if results.is_empty() => {
                if let Some(shape) = shape {
                    value = self.spread_over(value, dtype, &shape)?;
                }
                // The body saw f32, and its floats are of the promoted dtype again.
                if let (true, Value::Node { dtype: of, .. }) = (op.rule != DTypeRule::Inherit, &mut value)
                    && dtype.is_half()
                    && *of == DType::F32
                {
                    *of = dtype;
                }
                // It saw f64, and its results are of the first value's dtype.
                if let (DTypeRule::Mixed(_), Value::Node { id, dtype: of, .. }) = (op.rule, &mut value)
                    && *of == DType::F64
                    && dtype != DType::F64
                {
                    *id = self.convert(*id, dtype.compute());
                    *of = dtype;
                }
                if let (Some(calls), Value::Node { id, .. }) = (&mut self.calls, &value) {
                    calls.push(Inlined { op: op.clone(), params, dtype: dtype.compute(), result: *id });
                }
                if let (Some(written), Value::Node { id, .. }, false) = (&mut self.written, &value, is_body) {
                    written.insert(*id);
                }
                // What is made of numbers promotes as a number.
                Ok(match value {
                    Value::Node { id, weak, dtype } => Value::Node { id, weak: weak || numbers, dtype },
                    value => value,
                })
            }
            _ => Err(LowerError::new(LowerErrorKind::Internal, format!("{name} has several results"))),
        }
    }

    /// The shape that an elementwise op's operands have together, where there are tensors.
    fn shape_of_all(&self, op: &OpDef, params: &[Value]) -> Lowered<Option<Vec<i64>>> {
        let ids = params.iter().zip(&op.params).filter(|(_, p)| !p.is_static).filter_map(|(v, _)| match v {
            Value::Node { id, .. } if !self.shape(*id).is_empty() => Some(*id),
            _ => None,
        });
        let ids: Vec<NodeId> = ids.collect();
        Ok(if ids.is_empty() { None } else { Some(self.common_shape(&ids)?) })
    }

    /// A result that a static choice in the body has made of some operands only, in the shape of all.
    fn spread_over(&mut self, value: Value, dtype: DType, shape: &[i64]) -> Lowered<Value> {
        let (id, weak, of) = match &value {
            Value::Node { id, weak, dtype } => (*id, *weak, *dtype),
            number if number.is_number() => (self.node(number, dtype)?, false, dtype),
            _ => return Ok(value),
        };
        if self.shape(id) == shape {
            return Ok(value);
        }
        let shape = Attr::List(shape.iter().map(|&n| Attr::Int(n)).collect());
        Ok(Value::Node { id: self.broadcast_to(id, &Value::Attr(shape))?, weak, dtype: of })
    }

    /// Converts the tensors among these of float dtypes, f64 excepted.
    fn autocast_to(&mut self, dtype: DType, params: &mut [Value]) {
        for value in params {
            if let Value::Node { id, weak: false, dtype: of } = value
                && of.is_float()
                && *of != DType::F64
                && *of != dtype
            {
                *id = if dtype.is_half() { self.rounded(*id, dtype) } else { self.convert(*id, dtype) };
                *of = dtype;
            }
        }
    }

    /// Makes the value arguments of one dtype, by the op's rule; that of the results. For a 16-bit float they become
    /// f32, with which the body computes.
    pub(super) fn apply_rule(&mut self, op: &OpDef, params: &mut [Value]) -> Lowered<DType> {
        let is_value = |(value, param): (&Value, &crate::op::OpParam)| !param.is_static && value.is_number();
        let taking_part: Vec<Value> =
            params.iter().zip(&op.params).filter(|&(v, p)| is_value((v, p))).map(|(v, _)| v.clone()).collect();
        // Python numbers alone are computed with as Python does, in f64 and i64.
        let numbers = only_numbers(&taking_part);
        let default = if numbers { DType::F64 } else { self.default };
        let promoted = match self.promote(&taking_part) {
            dtype if dtype.is_float() && numbers => DType::F64,
            dtype => dtype,
        };
        let refused = |kernel: &str| {
            let message = format!("\"{kernel}\" not implemented for '{}'", promoted.c_name());
            Err(LowerError::new(LowerErrorKind::NotImplemented, message))
        };
        let dtype = match op.rule {
            DTypeRule::Inherit => return Ok(promoted),
            DTypeRule::NoBool(message) if promoted == DType::Bool => {
                return Err(LowerError::new(LowerErrorKind::NotImplemented, message));
            }
            DTypeRule::ToFloat if !promoted.is_float() => default,
            DTypeRule::FloatOnly(kernel) | DTypeRule::Mixed(kernel) if !promoted.is_float() => return refused(kernel),
            DTypeRule::Bitwise(kernel) if promoted.is_float() => return refused(kernel),
            DTypeRule::IntOnly(kernel) if !promoted.is_int() => return refused(kernel),
            DTypeRule::Logical => DType::Bool,
            DTypeRule::Accumulate if !promoted.is_float() => DType::I64,
            DTypeRule::FloatElse(message) if !promoted.is_float() => {
                return Err(LowerError::new(LowerErrorKind::NotImplemented, message.replace("{}", promoted.c_name())));
            }
            _ => promoted,
        };
        let result = match params.first() {
            Some(Value::Node { weak: false, dtype: first, .. })
                if matches!(op.rule, DTypeRule::Mixed(_)) && first.is_float() && dtype.is_float() =>
            {
                *first
            }
            _ => dtype,
        };
        for (value, param) in params.iter_mut().zip(&op.params) {
            if is_value((value, param)) {
                if let Value::Attr(Attr::Int(i)) = value
                    && op.exact_numbers
                    && dtype.is_int()
                    && Literal::int(dtype, *i).as_i64() != *i
                {
                    let c = match dtype {
                        DType::U8 => "uint8_t",
                        DType::I8 => "int8_t",
                        DType::I16 => "int16_t",
                        _ => "int",
                    };
                    let message = format!("value cannot be converted to type {c} without overflow");
                    return Err(LowerError::new(LowerErrorKind::Runtime, message));
                }
                // In the body they are of one dtype, and no number is weaker; the result may be, see `call`.
                let mut id = self.node(value, dtype)?;
                if op.rule == DTypeRule::Compare
                    && dtype.is_half()
                    && self.promote(std::slice::from_ref(value)) != dtype
                {
                    id = self.rounded(id, dtype);
                }
                *value = Value::Node { id, weak: false, dtype: dtype.compute() };
            }
        }
        Ok(result)
    }
}

/// True when there are values, all of them Python numbers or made of such.
fn only_numbers(values: &[Value]) -> bool {
    !values.is_empty() && !values.iter().any(|v| matches!(v, Value::Node { weak: false, .. }))
}
