// A picture from a file, cut to a small square: an account holds it as text.

const SIDE = 64;
const QUALITY = 0.85;

/** The picture as a data URL. Raises an Error that says what is wrong. */
export async function shrunk(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error("This file is no picture that the browser can read.");
  }
  const side = Math.min(bitmap.width, bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const left = (bitmap.width - side) / 2;
  const top = (bitmap.height - side) / 2;
  canvas.getContext("2d").drawImage(bitmap, left, top, side, side, 0, 0, SIDE, SIDE);
  const url = canvas.toDataURL("image/webp", QUALITY);
  // A browser that cannot write WebP gives a PNG, which is larger than an account may hold.
  return url.startsWith("data:image/webp") ? url : canvas.toDataURL("image/jpeg", QUALITY);
}
