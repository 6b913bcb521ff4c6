/** Do the ids and names of every type exist? Opening does not look (it is lazy); who walks whole graphs asks first. */
import { BtfError } from "../diag/index.ts";
import type { Btf } from "./btf.ts";
import { forEachStringWord, forEachTypeWord } from "./records.ts";

const checked = new WeakSet<Btf>();

/** Throws BtfError with the id of the first type that refers to a type or a string that is not there. */
export function validateBtf(btf: Btf): void {
  if (checked.has(btf)) return;
  if (btf.base !== undefined) validateBtf(btf.base);
  const { words, typeCount } = btf;
  const stringsEnd = btf.stringsStart + btf.stringsSize;
  let id = btf.startId;
  const checkType = (index: number): void => {
    if (words[index]! >= typeCount)
      throw new BtfError(`refers to type ${words[index]}, the last is ${typeCount - 1}`, {
        typeId: id,
        offset: btf.recordOffset(id),
      });
  };
  const checkString = (index: number): void => {
    if (words[index]! >= stringsEnd)
      throw new BtfError(`has its name at ${words[index]}, the strings end at ${stringsEnd}`, {
        typeId: id,
        offset: btf.recordOffset(id),
      });
  };
  for (; id < typeCount; id++) {
    const at = btf.recordWord(id);
    forEachTypeWord(words, at, checkType);
    forEachStringWord(words, at, checkString);
  }
  checked.add(btf);
}
