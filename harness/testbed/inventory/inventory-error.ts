/** An inventory that cannot be used. The message names file, line, place and what is valid. */
export class InventoryError extends Error {
  override readonly name = 'InventoryError';
}
