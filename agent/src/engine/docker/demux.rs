//! What a command prints, as the engine frames it: eight bytes of header, then a piece of one of its two outputs.

use super::api::Refusal;
use crate::engine::Printed;

const HEADER: usize = 8;

/// Takes bytes as they come, gives pieces as they come: a frame is never waited for.
#[derive(Default)]
pub(super) struct Demux {
    header: Vec<u8>,
    /// Bytes of the frame under way that are still to come.
    left: usize,
    stderr: bool,
}

impl Demux {
    /// The pieces in `bytes`.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Printed>, Refusal> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            if self.left > 0 {
                let (piece, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= piece.len();
                bytes = rest;
                found.push(if self.stderr {
                    Printed::Err(piece.to_vec())
                } else {
                    Printed::Out(piece.to_vec())
                });
                continue;
            }
            let (head, rest) = bytes.split_at((HEADER - self.header.len()).min(bytes.len()));
            self.header.extend_from_slice(head);
            bytes = rest;
            if let [stream, 0, 0, 0, a, b, c, d] = *self.header {
                self.header.clear();
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                // 3 is the engine itself, in trouble.
                self.stderr = match stream {
                    0 | 1 => false,
                    2 | 3 => true,
                    _ => return Err(garbled()),
                };
            } else if self.header.len() == HEADER {
                return Err(garbled());
            }
        }
        Ok(found)
    }
}

fn garbled() -> Refusal {
    Refusal::Malformed("the engine sent something else than a command's output".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0][..], &length, text].concat()
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_outputs(
            frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            cut in 1_usize..30,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(err, text)| frame(if *err { 2 } else { 1 }, text)).collect();
            let mut demux = Demux::default();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(cut) {
                for printed in demux.push(piece).unwrap() {
                    match printed {
                        Printed::Out(text) => out.extend(text),
                        Printed::Err(text) => err.extend(text),
                    }
                }
            }
            let of = |which: bool| -> Vec<u8> {
                frames.iter().filter(|(err, _)| *err == which).flat_map(|(_, text)| text.clone()).collect()
            };
            prop_assert_eq!((out, err), (of(false), of(true)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Demux::default().push(&bytes).ok();
        }
    }
}
