"""Colours for label sets that bring none."""
import colorsys

GOLDEN_RATIO = 0.618033988749895


def distinct_colours(count: int) -> list[tuple[int, int, int]]:
    """`count` RGB colours (0..255), the same every time, neighbours far apart.

    Hues step by the golden ratio, so that every prefix of the list is spread over the circle; saturation and brightness
    alternate, so that hues that come close later still differ.
    """
    shades = ((0.85, 0.95), (0.55, 0.75), (0.95, 0.6))
    colours = (colorsys.hsv_to_rgb(i * GOLDEN_RATIO % 1, *shades[i % len(shades)]) for i in range(count))
    return [tuple(round(255 * channel) for channel in colour) for colour in colours]
