//! SipHash-1-3 over bytes: the keyed hash of the name table.
//!
//! Keyed, because a plan's names are public and an unkeyed table could be given colliding names. The variant with one
//! compression and three finalisation rounds is the one Rust's own tables use; `std`'s type was rejected because it
//! hashes through `Hasher`, whose framing is not promised to stay the same.

/// Hash of `bytes` under `key` (two little-endian words).
pub(crate) fn hash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut state = State {
        v0: key[0] ^ 0x736f_6d65_7073_6575,
        v1: key[1] ^ 0x646f_7261_6e64_6f6d,
        v2: key[0] ^ 0x6c79_6765_6e65_7261,
        v3: key[1] ^ 0x7465_6462_7974_6573,
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state.absorb(u64::from_le_bytes(*word));
    }
    let tail = rest.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    state.absorb(tail | (bytes.len() as u64) << 56);
    state.v2 ^= 0xff;
    for _ in 0..3 {
        state.round();
    }
    state.v0 ^ state.v1 ^ state.v2 ^ state.v3
}

/// The two words of a 16-byte key.
pub(crate) fn key(bytes: [u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(bytes);
    [both as u64, (both >> 64) as u64]
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    #[test]
    fn agrees_with_std() {
        let bytes: Vec<u8> = (0..200).collect();
        for len in 0..bytes.len() {
            // The standard library's default hasher is SipHash-1-3 under the zero key.
            let mut std = std::hash::DefaultHasher::new();
            std.write(&bytes[..len]);
            assert_eq!(hash(key([0; 16]), &bytes[..len]), std.finish(), "{len}");
        }
    }
}
