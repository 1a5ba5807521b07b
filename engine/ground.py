"""How long and how large things of a coordinate reference system are on the ground."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pyproj
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.crs import CRS

from engine.errors import GridError

REACH = 500.0
"""Metres on either side of a place over which its scale is measured: far beyond PROJ's rounding, small to the Earth."""


class Ground:
    """A CRS on its own ellipsoid.

    Args:
        crs: The CRS; of one with heights, what it says of the plane.

    Attributes:
        geographic: Whether its coordinates are angles.
        angle: Name of the unit of its longitudes and latitudes, as in ``degree``.
        radians: Radians of that unit.
        unit: Metres of a unit of its coordinates as the CRS itself counts; on the equator where they are angles.

    Raises:
        GridError: If it is neither geographic nor projected.
    """

    def __init__(self, crs: CRS) -> None:
        try:
            plane = pyproj.CRS.from_wkt(crs.to_wkt(version="WKT2_2019"))
            plane = plane.sub_crs_list[0] if plane.is_compound else plane
            if plane.is_bound and plane.source_crs is not None:  # the way to another datum changes no length
                plane = plane.source_crs
            geodetic, ellipsoid = plane.geodetic_crs, plane.get_geod()
            if geodetic is None or ellipsoid is None or not (plane.is_geographic or plane.is_projected):
                raise ValueError("its coordinates lie on no ellipsoid")
            self._to_angles = pyproj.Transformer.from_crs(plane, geodetic, always_xy=True)
        except (ProjError, ValueError) as error:
            raise GridError(
                f"{crs.to_wkt()[:80]} is no geographic or projected coordinate reference system; assign one"
            ) from error
        self._plane, self._ellipsoid, self._name = plane, ellipsoid, crs.to_string()
        self.geographic = plane.is_geographic
        self.angle, self.radians = geodetic.axis_info[0].unit_name, geodetic.axis_info[0].unit_conversion_factor
        self.unit: float = plane.axis_info[0].unit_conversion_factor * (ellipsoid.a if self.geographic else 1)

    def areas(self, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float64]:
        """Geodesic area in square metres of a square unit at each place; zero where the CRS has no such place."""
        step = REACH / self.unit
        right, left, above, below = self._positions(
            np.stack([xs + step, xs - step, xs, xs]), np.stack([ys, ys, ys + step, ys - step])
        )
        areas = np.linalg.norm(np.cross(right - left, above - below), axis=-1) / (2 * step) ** 2
        there = np.isfinite(areas) & (not self.geographic or np.abs(ys) * self.radians <= math.pi / 2)
        return np.where(there, areas, 0)

    def unit_within(self, area: tuple[float, float, float, float]) -> float:
        """Metres of a unit on the ground in the middle of an area, of that part of it which the CRS is made for.

        Args:
            area: West, south, east and north in degrees (WGS 84).

        Returns:
            The root of a square unit's area; ``unit`` where the CRS has no such place.
        """
        west, south, east, north = area
        use = pyproj.CRS.from_user_input(self._name).area_of_use  # a raster's definition need not say it
        if use is not None and use.west < use.east:
            west, east = max(west, use.west), min(east, use.east)
            south, north = max(south, use.south), min(north, use.north)
        way = pyproj.Transformer.from_crs("OGC:CRS84", self._plane, always_xy=True)
        x, y = way.transform((west + east) / 2, (south + north) / 2)
        area_there = float(self.areas(np.array(x), np.array(y)))
        return math.sqrt(area_there) or self.unit

    def _positions(self, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places as metres from the Earth's centre ``[..., 3]``, where neither poles nor antimeridian are special."""
        longitude, latitude = (self.radians * angle for angle in self._to_angles.transform(xs, ys))
        with np.errstate(invalid="ignore"):  # infinite where the CRS has no such place
            sine, cosine = np.sin(latitude), np.cos(latitude)
            normal = self._ellipsoid.a / np.sqrt(1 - self._ellipsoid.es * sine**2)
            across = normal * cosine * np.cos(longitude), normal * cosine * np.sin(longitude)
            return np.stack([*across, normal * (1 - self._ellipsoid.es) * sine], axis=-1)


@lru_cache(maxsize=64)
def ground_of(crs: CRS) -> Ground:
    """The ground of a CRS, found once.

    Raises:
        GridError: If it is neither geographic nor projected.
    """
    return Ground(crs)
