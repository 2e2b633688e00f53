//! Memory as a set of regions with nothing between them.

use std::fmt;

/// Bytes at an address.
#[derive(Clone)]
pub struct Region {
    /// Address of the first byte.
    pub start: u64,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Whether it may be written.
    pub writable: bool,
    /// For messages.
    pub name: String,
}

impl Region {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:#x}..{:#x}", self.name, self.start, self.end())
    }
}

/// Regions, in order of their addresses.
#[derive(Clone, Default, Debug)]
pub struct Memory {
    regions: Vec<Region>,
}

impl Memory {
    /// Adds a region.
    ///
    /// # Panics
    /// When it overlaps another.
    pub fn add(&mut self, region: Region) {
        let at = self.regions.partition_point(|r| r.start < region.start);
        let before = at.checked_sub(1).is_none_or(|b| self.regions[b].end() <= region.start);
        let after = self.regions.get(at).is_none_or(|r| region.end() <= r.start);
        assert!(before && after, "{region:?} overlaps another");
        self.regions.insert(at, region);
    }

    /// The region of this name.
    pub fn region(&self, name: &str) -> Option<&Region> {
        self.regions.iter().find(|r| r.name == name)
    }

    /// All regions.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The region that holds an access, and where in it.
    fn find(&self, address: u64, len: usize) -> Result<(usize, usize), String> {
        let after = self.regions.partition_point(|r| r.start <= address);
        let found = after.checked_sub(1).map(|at| (at, (address - self.regions[at].start) as usize));
        match found {
            Some((at, offset)) if offset + len <= self.regions[at].bytes.len() => Ok((at, offset)),
            _ => {
                let near = |at: Option<usize>| {
                    at.and_then(|a| self.regions.get(a)).map_or("nothing".to_owned(), |r| format!("{r:?}"))
                };
                let (below, above) = (near(after.checked_sub(1)), near(Some(after)));
                Err(format!("access of {len} bytes at {address:#x}, between {below} and {above}"))
            }
        }
    }

    /// Bytes at an address.
    pub fn read(&self, address: u64, len: usize) -> Result<&[u8], String> {
        let (at, offset) = self.find(address, len)?;
        Ok(&self.regions[at].bytes[offset..offset + len])
    }

    /// A little-endian number of at most 8 bytes.
    pub fn read_int(&self, address: u64, len: usize) -> Result<u64, String> {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(self.read(address, len)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes bytes.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), String> {
        let (at, offset) = self.find(address, bytes.len())?;
        let region = &mut self.regions[at];
        if !region.writable {
            return Err(format!("write of {} bytes at {address:#x} to read-only {region:?}", bytes.len()));
        }
        region.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Start and length of the code around an address, which is read-only.
    pub(crate) fn code_region(&self, address: u64) -> Result<(u64, usize), String> {
        let (at, _) = self.find(address, 1)?;
        let region = &self.regions[at];
        if region.writable {
            return Err(format!("a jump to writable {region:?}"));
        }
        Ok((region.start, region.bytes.len()))
    }
}
