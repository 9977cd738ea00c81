//! Parts of bodies on their way out, to clients and to servers.

use crate::mem::{Buf, Pages};
use crate::net::Stream;
use crate::proto::http1::write;
use crate::session::outlet::Outlet;

/// Parts up to so many bytes are copied behind what is written before them: a copy of that size
/// costs less than another element of a vectored send.
const COPY_MAX: usize = 2048;

/// Writes a part of a body, as a chunk if the body is in chunks.
pub(super) fn write_part(
    outlet: &mut Outlet,
    pages: &mut Pages,
    stream: &mut Stream,
    part: Buf,
    is_chunked: bool,
) {
    if is_chunked {
        write::chunk_head(part.len(), outlet.bytes(pages));
    }
    if part.len() <= COPY_MAX {
        outlet.bytes(pages).extend_from_slice(&part);
    } else {
        outlet.finish(pages, stream);
        outlet.slice(stream, part);
    }
    if is_chunked {
        outlet.bytes(pages).extend_from_slice(b"\r\n");
    }
}
