// Points of several curves, each at times of its own, as columns over common times.

const GAP = 2.5; // so many usual distances without a point are a gap

function usualDistance(points) {
  const distances = points.slice(1).map(([at], index) => at - points[index][0]).sort((one, other) => one - other);
  return distances[distances.length >> 1] ?? Infinity;
}

/** [from, to] where a curve is broken: behind each point that the next one does not follow soon. */
function breaks(points) {
  const usual = usualDistance(points);
  return points.flatMap(([at], index) => {
    const next = points[index + 1]?.[0];
    return next - at > GAP * usual ? [[at + usual, next]] : [];
  });
}

/**
 * [times, most, least, mean of the first curve, of the second, …]. `curves`: of rows time, mean, least, most. null breaks
 * a curve; undefined says that only another curve has something at that time.
 */
export function columns(curves) {
  const broken = curves.map(breaks);
  const times = [...new Set([...curves.flat().map(([at]) => at), ...broken.flat().map(([from]) => from)])].sort((one, other) => one - other);
  const places = new Map(times.map((at, index) => [at, index]));
  const found = [times];
  curves.forEach((points, index) => {
    const [most, least, mean] = Array.from({ length: 3 }, () => new Array(times.length).fill(undefined));
    for (const [from, to] of broken[index]) {
      for (const column of [most, least, mean]) column.fill(null, places.get(from), places.get(to));
    }
    for (const [at, middle, low, high] of points) {
      const place = places.get(at);
      most[place] = high;
      least[place] = low;
      mean[place] = middle;
    }
    found.push(most, least, mean);
  });
  return found;
}

/** The places of values that have no neighbour to draw a line to. */
export function lonely(values) {
  const told = values.flatMap((value, index) => (value === undefined ? [] : [index]));
  return told.filter((place, index) => {
    const has = (other) => other !== undefined && values[other] !== null;
    return values[place] !== null && !has(told[index - 1]) && !has(told[index + 1]);
  });
}
