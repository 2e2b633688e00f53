//! DLPack 1.x: the C structs by which array libraries lend memory to each other, import into and export of
//! [`Tensor`]s, and the function table of the C exchange API. No Python here: the capsule's names are given,
//! its handling is the Python layer's.
//!
//! Unsafe: foreign pointers. What a producer promises is in the header of DLPack; what can be checked is.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::fmt;
use std::ptr;

use rusttorch_ir::dtype::DType;
use rusttorch_ir::graph::contiguous_strides;

use crate::error::{Detail, Result};
use crate::layout;
use crate::storage::Storage;
use crate::tensor::Tensor;

/// The version that exports carry.
pub const VERSION: Version = Version { major: 1, minor: 3 };
/// Flag: the consumer may not write.
pub const FLAG_READ_ONLY: u64 = 1;
/// Flag: the producer made a copy for this exchange.
pub const FLAG_IS_COPIED: u64 = 2;
/// Capsule name of an unversioned tensor, and after its consumption.
pub const CAPSULE: [&std::ffi::CStr; 2] = [c"dltensor", c"used_dltensor"];
/// Capsule name of a versioned tensor, and after its consumption.
pub const CAPSULE_VERSIONED: [&std::ffi::CStr; 2] = [c"dltensor_versioned", c"used_dltensor_versioned"];
/// Capsule name of the C exchange API, an attribute `__dlpack_c_exchange_api__` of a tensor type.
pub const CAPSULE_EXCHANGE_API: &std::ffi::CStr = c"dlpack_exchange_api";

/// `kDLCPU`.
pub const DEVICE_CPU: i32 = 1;

/// `DLDevice`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device {
    /// `DLDeviceType`.
    pub kind: i32,
    /// Number of the device.
    pub id: i32,
}

/// `DLDataType`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataType {
    /// `DLDataTypeCode`: 0 int, 1 unsigned, 2 float, 4 bfloat, 6 bool.
    pub code: u8,
    /// Bits of a lane.
    pub bits: u8,
    /// 1 for scalars.
    pub lanes: u16,
}

/// `DLTensor`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DLTensor {
    /// Start of the memory.
    pub data: *mut c_void,
    /// Where it is.
    pub device: Device,
    /// Number of dimensions.
    pub ndim: i32,
    /// Element type.
    pub dtype: DataType,
    /// `ndim` extents.
    pub shape: *mut i64,
    /// `ndim` strides in elements; null for row-major (before 1.2).
    pub strides: *mut i64,
    /// From `data` to the element at index 0.
    pub byte_offset: u64,
}

/// `DLPackVersion`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version {
    /// Differing majors have differing layouts, but for the deleter.
    pub major: u32,
    /// Additions.
    pub minor: u32,
}

/// `DLManagedTensor`, of DLPack 0.x.
#[repr(C)]
pub struct DLManagedTensor {
    /// The tensor.
    pub dl_tensor: DLTensor,
    /// The producer's.
    pub manager_ctx: *mut c_void,
    /// Ends the loan, and frees the struct.
    pub deleter: Option<unsafe extern "C" fn(*mut DLManagedTensor)>,
}

/// `DLManagedTensorVersioned`, of DLPack 1.x.
#[repr(C)]
pub struct DLManagedTensorVersioned {
    /// Of the producer.
    pub version: Version,
    /// The producer's.
    pub manager_ctx: *mut c_void,
    /// Ends the loan, and frees the struct.
    pub deleter: Option<unsafe extern "C" fn(*mut DLManagedTensorVersioned)>,
    /// Bits `FLAG_*`.
    pub flags: u64,
    /// The tensor.
    pub dl_tensor: DLTensor,
}

/// `DLPackExchangeAPIHeader`.
#[repr(C)]
#[derive(Debug)]
pub struct ExchangeApiHeader {
    /// Of this table.
    pub version: Version,
    /// The table of an older version, or null.
    pub prev_api: *mut ExchangeApiHeader,
}

/// Reports an error of an allocator: context, kind, message.
pub type SetError = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char);

/// `DLPackExchangeAPI`: what a tensor type offers to C callers. Objects are `PyObject*`; functions return 0, or
/// -1 with a Python exception set.
#[repr(C)]
#[derive(Debug)]
pub struct ExchangeApi {
    /// Version and older tables.
    pub header: ExchangeApiHeader,
    /// New memory like a prototype.
    pub managed_tensor_allocator:
        Option<unsafe extern "C" fn(*mut DLTensor, *mut *mut DLManagedTensorVersioned, *mut c_void, SetError) -> c_int>,
    /// Lends an object's memory.
    pub managed_tensor_from_py_object_no_sync:
        Option<unsafe extern "C" fn(*mut c_void, *mut *mut DLManagedTensorVersioned) -> c_int>,
    /// Makes an object of lent memory, and takes over the loan.
    pub managed_tensor_to_py_object_no_sync:
        Option<unsafe extern "C" fn(*mut DLManagedTensorVersioned, *mut *mut c_void) -> c_int>,
    /// Looks at an object's memory while the caller holds the object. May be null.
    pub dltensor_from_py_object_no_sync: Option<unsafe extern "C" fn(*mut c_void, *mut DLTensor) -> c_int>,
    /// The stream to synchronise with; null on the CPU.
    pub current_work_stream: Option<unsafe extern "C" fn(i32, i32, *mut *mut c_void) -> c_int>,
}

impl ExchangeApi {
    /// The newest table in the chain that has our major version.
    ///
    /// # Safety
    /// `api` is what a capsule named [`CAPSULE_EXCHANGE_API`] holds; it lives as long as the process.
    pub unsafe fn find(api: *const ExchangeApi) -> Option<&'static ExchangeApi> {
        let mut header = api.cast::<ExchangeApiHeader>();
        // SAFETY: the header is the same in all versions, `prev_api` is null or another table; a table of our
        // major version has our layout.
        unsafe {
            while let Some(h) = header.as_ref() {
                if h.version.major == VERSION.major {
                    return Some(&*header.cast::<ExchangeApi>());
                }
                header = h.prev_api;
            }
        }
        None
    }
}

// SAFETY: the table is constant; the pointers in it are to functions and tables of static life.
unsafe impl Sync for ExchangeApi {}
// SAFETY: as above.
unsafe impl Send for ExchangeApi {}

/// Why memory of another library was not taken.
#[derive(Clone, PartialEq, Debug)]
pub enum Refusal {
    /// A null struct.
    Null,
    /// Another major version.
    Version(u32),
    /// Memory of a device.
    Device(i32),
    /// An element type that no tensor has.
    DType(DataType),
    /// A negative or absurd number of dimensions.
    Rank(i32),
    /// No extents, though there are dimensions.
    NoShape,
    /// No memory, though there are elements.
    NoData,
    /// Addresses beyond the address space.
    Range,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Null => f.write_str("from_dlpack: the capsule holds no tensor"),
            Refusal::Version(major) => {
                write!(f, "from_dlpack: DLPack major version {major} is not supported (only {})", VERSION.major)
            }
            Refusal::Device(kind) => {
                write!(f, "from_dlpack: only CPU tensors are supported, got device type {kind}")
            }
            Refusal::DType(DataType { lanes, .. }) if *lanes != 1 => {
                write!(f, "ATen does not support lanes != 1, got lanes: {lanes}")
            }
            Refusal::DType(DataType { code, bits, .. }) => {
                let kind = match code {
                    0 => "Int",
                    1 => "UInt",
                    2 => "Float",
                    3 => "OpaqueHandle",
                    4 => "BFloat",
                    5 => "Complex",
                    6 => "Bool",
                    _ => return write!(f, "Unsupported code {code}"),
                };
                write!(f, "Unsupported k{kind} bits {bits}")
            }
            Refusal::Rank(rank) => write!(f, "from_dlpack: {rank} is no number of dimensions"),
            Refusal::NoShape => f.write_str("from_dlpack: the tensor has dimensions but no shape"),
            Refusal::NoData => f.write_str("from_dlpack: the tensor has elements but its data pointer is NULL"),
            Refusal::Range => f.write_str("from_dlpack: the tensor's extents reach beyond the address space"),
        }
    }
}

fn refuse<T>(refusal: Refusal) -> Result<T> {
    Err(Detail::Exchange(refusal).into())
}

/// DLPack's name of a dtype.
pub fn data_type(dtype: DType) -> DataType {
    let code = match dtype {
        DType::Bool => 6,
        DType::U8 => 1,
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0,
        DType::BF16 => 4,
        DType::F16 | DType::F32 | DType::F64 => 2,
    };
    DataType { code, bits: 8 * dtype.size() as u8, lanes: 1 }
}

/// The dtype that DLPack names.
pub fn dtype_of(data_type: DataType) -> Result<DType> {
    match DType::ALL.into_iter().find(|&d| self::data_type(d) == data_type) {
        Some(dtype) => Ok(dtype),
        None => refuse(Refusal::DType(data_type)),
    }
}

/// Lent memory, checked: address of index 0, and layout.
#[derive(Clone, PartialEq, Debug)]
pub struct Borrowed {
    /// Address of the element at index 0.
    pub data: *mut u8,
    /// Extents.
    pub shape: Vec<i64>,
    /// Strides in elements.
    pub strides: Vec<i64>,
    /// Element type.
    pub dtype: DType,
}

/// No array library has more dimensions than this.
const MAX_RANK: i32 = 64;

impl Borrowed {
    /// Checks a `DLTensor` and reads its layout. The memory is not touched.
    ///
    /// # Safety
    /// `shape` and `strides` are null or point to `ndim` numbers.
    pub unsafe fn read(tensor: &DLTensor) -> Result<Borrowed> {
        if tensor.device.kind != DEVICE_CPU {
            return refuse(Refusal::Device(tensor.device.kind));
        }
        let dtype = dtype_of(tensor.dtype)?;
        if !(0..=MAX_RANK).contains(&tensor.ndim) {
            return refuse(Refusal::Rank(tensor.ndim));
        }
        let rank = tensor.ndim as usize;
        // SAFETY: the caller's promise.
        let list = |from: *const i64| unsafe { (0..rank).map(|d| from.add(d).read()).collect::<Vec<i64>>() };
        if rank > 0 && tensor.shape.is_null() {
            return refuse(Refusal::NoShape);
        }
        let shape = list(tensor.shape);
        if let Some(dim) = shape.iter().position(|&n| n < 0) {
            return Err(Detail::NegativeExtent { shape, dim }.into());
        }
        let strides = if tensor.strides.is_null() { contiguous_strides(&shape) } else { list(tensor.strides) };
        let Some(numel) = layout::checked_numel(&shape) else { return refuse(Refusal::Range) };
        if tensor.data.is_null() && numel > 0 {
            return refuse(Refusal::NoData);
        }
        let data = tensor.data.cast::<u8>().wrapping_add(tensor.byte_offset as usize);
        let borrowed = Borrowed { data, shape, strides, dtype };
        if numel > 0 && borrowed.byte_range().is_none() {
            return refuse(Refusal::Range);
        }
        Ok(borrowed)
    }

    /// From the lowest byte of any element to the highest, relative to `data`, for a tensor with elements that
    /// lie within the address space.
    fn byte_range(&self) -> Option<(i64, i64)> {
        let item = self.dtype.size() as i64;
        let (low, high) = layout::extent(&self.shape, &self.strides)?;
        let (low, high) = (low.checked_mul(item)?, high.checked_add(1)?.checked_mul(item)?);
        let data = self.data as usize as i128;
        let fits = data + i128::from(low) >= 0 && data + i128::from(high) <= usize::MAX as i128;
        // One object is never longer than isize::MAX.
        (fits && i128::from(high) - i128::from(low) <= isize::MAX as i128).then_some((low, high))
    }

    /// A tensor over this memory; `release` runs when its last owner drops.
    ///
    /// # Safety
    /// Until then the memory under the layout is as [`Storage::from_foreign`] asks.
    pub unsafe fn into_tensor(self, read_only: bool, release: Box<dyn FnOnce() + Send + Sync>) -> Result<Tensor> {
        let empty = self.shape.contains(&0);
        let (low, high) = if empty { (0, 0) } else { self.byte_range().expect("`read` checked the range") };
        let base = self.data.wrapping_offset(low as isize);
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::from_foreign(base, (high - low) as usize, read_only, release) };
        Tensor::from_parts(storage, (-low) as usize, &self.shape, &self.strides, self.dtype)
    }
}

/// Takes over a versioned loan. On an error the loan has been ended.
///
/// # Safety
/// `managed` comes from a producer that keeps DLPack's rules, was not consumed, and may be released from any
/// thread. The memory is written by others only under rule S1 of [`crate::storage`].
pub unsafe fn import_versioned(managed: *mut DLManagedTensorVersioned) -> Result<Tensor> {
    if managed.is_null() {
        return refuse(Refusal::Null);
    }
    // SAFETY: `managed` is valid until its deleter runs, which `Loan` does once.
    unsafe {
        let loan = Loan { managed, end: |m| (*m).deleter.into_iter().for_each(|d| d(m)) };
        // Of another major version only version, context and deleter are known.
        if (*managed).version.major != VERSION.major {
            return refuse(Refusal::Version((*managed).version.major));
        }
        let borrowed = Borrowed::read(&(*managed).dl_tensor)?;
        let read_only = (*managed).flags & FLAG_READ_ONLY != 0;
        borrowed.into_tensor(read_only, Box::new(move || drop(loan)))
    }
}

/// Takes over an unversioned loan. On an error the loan has been ended.
///
/// # Safety
/// As [`import_versioned`].
pub unsafe fn import_legacy(managed: *mut DLManagedTensor) -> Result<Tensor> {
    if managed.is_null() {
        return refuse(Refusal::Null);
    }
    // SAFETY: as in `import_versioned`.
    unsafe {
        let loan = Loan { managed, end: |m| (*m).deleter.into_iter().for_each(|d| d(m)) };
        let borrowed = Borrowed::read(&(*managed).dl_tensor)?;
        borrowed.into_tensor(false, Box::new(move || drop(loan)))
    }
}

/// A loan to be ended once.
struct Loan<M> {
    managed: *mut M,
    end: unsafe fn(*mut M),
}

// SAFETY: the importer promised that the loan may be ended from any thread; it is reached by its owner only.
unsafe impl<M> Send for Loan<M> {}
// SAFETY: as above.
unsafe impl<M> Sync for Loan<M> {}

impl<M> Drop for Loan<M> {
    fn drop(&mut self) {
        // SAFETY: the loan is live until this one call.
        unsafe { (self.end)(self.managed) };
    }
}

/// What an exported struct needs to live, behind it in one allocation.
#[repr(C)]
struct Export<M> {
    managed: M,
    tensor: Tensor,
    shape: Box<[i64]>,
    strides: Box<[i64]>,
}

/// The tensor as lists of one's own, and the struct that points into them.
fn describe(tensor: &Tensor) -> (Box<[i64]>, Box<[i64]>, DLTensor) {
    let mut shape: Box<[i64]> = tensor.shape().into();
    let mut strides: Box<[i64]> = tensor.strides().into();
    let dl_tensor = DLTensor {
        data: if tensor.numel() == 0 { ptr::null_mut() } else { tensor.data_ptr().cast() },
        device: Device { kind: DEVICE_CPU, id: 0 },
        ndim: tensor.rank() as i32,
        dtype: data_type(tensor.dtype()),
        shape: shape.as_mut_ptr(),
        strides: strides.as_mut_ptr(),
        // Consumers are known to ignore the field.
        byte_offset: 0,
    };
    (shape, strides, dl_tensor)
}

/// Lends a tensor. The consumer's call of the deleter drops the clone of it that the loan holds.
pub fn export_versioned(tensor: &Tensor, is_copied: bool) -> *mut DLManagedTensorVersioned {
    unsafe extern "C" fn delete(managed: *mut DLManagedTensorVersioned) {
        if !managed.is_null() {
            // SAFETY: the struct is the first field of the `Export` that `export_versioned` boxed, and the
            // consumer calls the deleter once.
            drop(unsafe { Box::from_raw(managed.cast::<Export<DLManagedTensorVersioned>>()) });
        }
    }
    let (shape, strides, dl_tensor) = describe(tensor);
    let read_only = if tensor.storage().is_read_only() { FLAG_READ_ONLY } else { 0 };
    let managed = DLManagedTensorVersioned {
        version: VERSION,
        manager_ctx: ptr::null_mut(),
        deleter: Some(delete),
        flags: read_only | if is_copied { FLAG_IS_COPIED } else { 0 },
        dl_tensor,
    };
    Box::into_raw(Box::new(Export { managed, tensor: tensor.clone(), shape, strides })).cast()
}

/// Lends a tensor to a consumer of DLPack 0.x, which cannot know that memory is read-only: such is refused.
pub fn export_legacy(tensor: &Tensor) -> Result<*mut DLManagedTensor> {
    unsafe extern "C" fn delete(managed: *mut DLManagedTensor) {
        if !managed.is_null() {
            // SAFETY: as in `export_versioned`.
            drop(unsafe { Box::from_raw(managed.cast::<Export<DLManagedTensor>>()) });
        }
    }
    if tensor.storage().is_read_only() {
        return Err(Detail::ReadOnly.into());
    }
    let (shape, strides, dl_tensor) = describe(tensor);
    let managed = DLManagedTensor { dl_tensor, manager_ctx: ptr::null_mut(), deleter: Some(delete) };
    Ok(Box::into_raw(Box::new(Export { managed, tensor: tensor.clone(), shape, strides })).cast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn structs_have_their_c_layout() {
        assert_eq!(size_of::<DLTensor>(), 48);
        assert_eq!(size_of::<DLManagedTensor>(), 64);
        assert_eq!(size_of::<DLManagedTensorVersioned>(), 80);
        assert_eq!(size_of::<ExchangeApi>(), 56);
        assert_eq!(std::mem::offset_of!(DLManagedTensorVersioned, dl_tensor), 32);
    }

    #[test]
    fn a_loan_there_and_back_shares_memory_and_outlives_its_source() {
        let source = Tensor::from_slice(&[1i32, 2, 3, 4, 5, 6], &[2, 3]).unwrap();
        let view = source.transpose(0, 1).unwrap().slice(0, 1, 3, 1).unwrap();
        let ptr = view.data_ptr();
        for versioned in [true, false] {
            // SAFETY: our own export, consumed once.
            let back = unsafe {
                if versioned {
                    import_versioned(export_versioned(&view, false)).unwrap()
                } else {
                    import_legacy(export_legacy(&view).unwrap()).unwrap()
                }
            };
            assert_eq!(back.data_ptr(), ptr);
            assert_eq!((back.shape(), back.strides()), (view.shape(), view.strides()));
            assert!(!back.storage().is_ours());
            let copy = view.clone();
            drop(copy);
            assert_eq!(back.to_vec::<i32>().unwrap(), [2, 5, 3, 6]);
        }
        let mut source = source;
        drop(view);
        assert!(source.bytes_mut().is_some(), "all loans have ended");
    }

    static DELETED: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C" fn count(managed: *mut DLManagedTensorVersioned) {
        DELETED.fetch_add(1, Ordering::SeqCst);
        // SAFETY: made by `lend`.
        drop(unsafe { Box::from_raw(managed) });
    }

    fn lend(change: impl FnOnce(&mut DLManagedTensorVersioned)) -> Result<Tensor> {
        static mut MEMORY: [f32; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        static SHAPE: [i64; 2] = [2, 3];
        let mut managed = Box::new(DLManagedTensorVersioned {
            version: VERSION,
            manager_ctx: ptr::null_mut(),
            deleter: Some(count),
            flags: 0,
            dl_tensor: DLTensor {
                data: (&raw mut MEMORY).cast(),
                device: Device { kind: DEVICE_CPU, id: 0 },
                ndim: 2,
                dtype: data_type(DType::F32),
                shape: SHAPE.as_ptr().cast_mut(),
                strides: ptr::null_mut(),
                byte_offset: 0,
            },
        });
        change(&mut managed);
        // SAFETY: static memory that nobody writes; what is broken is refused.
        unsafe { import_versioned(Box::into_raw(managed)) }
    }

    #[test]
    fn imports_are_checked_and_every_loan_ends() {
        let mut loans = 0;
        let mut refused = |change: fn(&mut DLManagedTensorVersioned)| {
            loans += 1;
            let error = lend(change).unwrap_err();
            assert_eq!(DELETED.load(Ordering::SeqCst), loans);
            (error.kind(), error.to_string())
        };
        assert_eq!(refused(|m| m.version.major = 2).0, ErrorKind::Exchange);
        assert_eq!(refused(|m| m.dl_tensor.device.kind = 2).0, ErrorKind::Exchange);
        assert_eq!(refused(|m| m.dl_tensor.dtype.lanes = 4).1, "ATen does not support lanes != 1, got lanes: 4");
        assert_eq!(refused(|m| m.dl_tensor.dtype.code = 5).1, "Unsupported kComplex bits 32");
        assert_eq!(refused(|m| m.dl_tensor.ndim = -1).0, ErrorKind::Exchange);
        assert_eq!(refused(|m| m.dl_tensor.shape = ptr::null_mut()).0, ErrorKind::Exchange);
        assert_eq!(refused(|m| m.dl_tensor.data = ptr::null_mut()).0, ErrorKind::Exchange);
        static NEGATIVE: [i64; 2] = [2, -3];
        assert_eq!(refused(|m| m.dl_tensor.shape = NEGATIVE.as_ptr().cast_mut()).0, ErrorKind::Shape);
        static HUGE: [i64; 2] = [i64::MAX, 2];
        assert_eq!(refused(|m| m.dl_tensor.shape = HUGE.as_ptr().cast_mut()).0, ErrorKind::Exchange);
        static FAR: [i64; 2] = [i64::MAX / 4, 1];
        assert_eq!(refused(|m| m.dl_tensor.strides = FAR.as_ptr().cast_mut()).0, ErrorKind::Exchange);
        // SAFETY: null is refused.
        assert!(unsafe { import_versioned(ptr::null_mut()) }.is_err());

        let good = lend(|m| m.flags = FLAG_READ_ONLY).unwrap();
        assert!(good.storage().is_read_only());
        assert_eq!(good.to_vec::<f32>().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(export_legacy(&good).is_err());
        drop(good);
        static BACK: [i64; 2] = [-3, -1];
        let reversed = lend(|m| {
            m.dl_tensor.strides = BACK.as_ptr().cast_mut();
            m.dl_tensor.byte_offset = 20;
        });
        assert_eq!(reversed.unwrap().to_vec::<f32>().unwrap(), [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
        static NONE: [i64; 2] = [0, 3];
        let empty = lend(|m| {
            m.dl_tensor.shape = NONE.as_ptr().cast_mut();
            m.dl_tensor.data = ptr::null_mut();
        });
        assert_eq!(empty.unwrap().shape(), [0, 3]);
        assert_eq!(DELETED.load(Ordering::SeqCst), loans + 3);
    }
}
