"""Lines with round ends and smooth edges, drawn into an array of pixels."""

import numpy as np


def colour_bytes(colour: str) -> np.ndarray:
    """A colour "#rrggbb" as (4,) bytes: red, green, blue, and 255 for opaque."""
    return np.array([*bytes.fromhex(colour.removeprefix("#")), 255], np.uint8)


def pale(colour: str, share: float) -> str:
    """A colour "#rrggbb" of which only a share is left, the rest being white."""
    mixed = 255 + share * (colour_bytes(colour)[:3].astype(float) - 255)
    return "#" + bytes(mixed.round().astype(np.uint8)).hex()


def draw_strokes(
    picture: np.ndarray,
    ends: np.ndarray,
    widths: np.ndarray,
    colours: np.ndarray,
    box: tuple[int, int, int, int],
) -> None:
    """Draw lines, the later ones over the earlier; a line without length is a dot.

    A pixel is covered by as much as it lies within half the width of a line, so that edges are smooth; where lines
    meet, the one that covers a pixel most has it. All lines are worked out together: one at a time takes ten times as
    long.

    Args:
        picture: (height, width, 4) bytes, C-contiguous; changed in place.
        ends: (N, 2, 2) both ends of each line, x and y in pixels from the left and upper edge; with NaN it is left out.
        widths: (N,) pixels. colours: (N, 4) bytes.
        box: left, top, right, bottom in pixels, within the picture; nothing is drawn outside.
    """
    known = np.isfinite(ends).all((1, 2))
    ends, reach, colours = ends[known], widths[known] / 2 + 0.5, colours[known]  # reach: where the cover ends
    flat = np.abs(ends[:, 1, 0] - ends[:, 0, 0]) >= np.abs(ends[:, 1, 1] - ends[:, 0, 1])
    ends = np.where(flat[:, None, None], ends, ends[..., ::-1])  # u is the axis that a line is longer in, v the other
    least_u, most_u = np.where(flat, box[0], box[1]), np.where(flat, box[2], box[3])
    least_v, most_v = np.where(flat, box[1], box[0]), np.where(flat, box[3], box[2])

    begin = np.clip(np.floor(ends[..., 0].min(1) - reach), least_u, most_u).astype(np.int64)
    count = np.clip(np.ceil(ends[..., 0].max(1) + reach), begin, most_u).astype(np.int64) - begin
    line = np.repeat(np.arange(len(ends)), count)  # (M,) of every step along u, which line it belongs to
    if not len(line):
        return
    u = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count) + begin[line]  # (M,) pixels

    way = ends[:, 1] - ends[:, 0]  # (N, 2)
    slope = np.divide(way[:, 1], way[:, 0], out=np.zeros(len(way)), where=way[:, 0] != 0)
    low, high = ends[..., 0].min(1), ends[..., 0].max(1)
    middle = ends[line, 0, 1] + slope[line] * (np.clip(u + 0.5, low[line], high[line]) - ends[line, 0, 0])
    room = int(np.ceil(reach * np.hypot(1, slope) + 0.5).max()) - 1
    v = np.floor(middle).astype(np.int64)[:, None] + np.arange(-room, room + 1)  # (M, V) pixels
    from_u = (u + 0.5 - ends[line, 0, 0]).astype(np.float32)[:, None]
    from_v = (v + 0.5 - ends[line, 0, 1][:, None]).astype(np.float32)
    square = np.square(way).sum(1)
    step = (way / np.where(square > 0, square, 1)[:, None]).astype(np.float32)[line]
    share = np.clip(from_u * step[:, :1] + from_v * step[:, 1:], 0, 1)
    along = way.astype(np.float32)[line]
    from_u, from_v = from_u - share * along[:, :1], from_v - share * along[:, 1:]
    cover = reach.astype(np.float32)[line][:, None] - np.sqrt(from_u * from_u + from_v * from_v)

    inside = (cover > 0) & (v >= least_v[line][:, None]) & (v < most_v[line][:, None])
    step_of, _ = np.nonzero(inside)
    line, u, v, cover = line[step_of], u[step_of], v[inside], np.minimum(cover[inside], 1)
    across = picture.shape[1]
    place = np.where(flat[line], v * across + u, u * across + v)
    _composite(picture.view(np.uint32).reshape(-1), place, cover, colours.view(np.uint32)[:, 0][line])


def _composite(pixels: np.ndarray, place: np.ndarray, cover: np.ndarray, colours: np.ndarray) -> None:
    """Mix colours (P,) into pixels (all,), four bytes as one number, at places (P,) by how much of each is covered.

    The greatest cover wins, and of equal ones the last.
    """
    order = np.argsort((255 * cover).astype(np.uint8), kind="stable")  # of bytes: a radix sort
    place, cover, colours = place[order], cover[order], colours[order]
    pixels_before = pixels[place]
    edge = cover < 1
    below, above = (x[edge].view(np.uint8).reshape(-1, 4).astype(np.float32) for x in (pixels_before, colours))
    mixed = below + cover[edge, None] * (above - below) + 0.5
    colours[edge] = mixed.astype(np.uint8).view(np.uint32)[:, 0]
    pixels[place] = colours  # of places that come twice the last is kept
