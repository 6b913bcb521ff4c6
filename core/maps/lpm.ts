// BPF_MAP_TYPE_LPM_TRIE (kernel/bpf/lpm_trie.c): a binary trie with one node per prefix, and a node without value
// ("intermediate") where two prefixes part. A key is u32 prefixlen in host order, then the data, most significant bit
// first. Invariant: an intermediate node has two children.
import {
  LPM_DATA_SIZE,
  LPM_ROOT,
  MAP_COUNT,
  MAP_MAX_ENTRIES,
  MAP_PERM,
  MAP_VALUE_OFFSET,
  MAP_VALUE_SIZE,
  POOL_ELEM_SIZE,
} from "../../src/maps/layout";
import { alloc, release } from "../alloc";
import { PERM_NONE, paint } from "../shadow";
import { copyBytes } from "./bytes";
import { BPF_EXIST, BPF_NOEXIST, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC } from "./errno";
import { poolGrow, poolPop, poolPush, poolStep } from "./pool";

const PREFIXLEN: u32 = 8;
const FLAGS: u32 = 12;
const DATA: u32 = 16;
const INTERMEDIATE: u32 = 1;
/** Of a key: where its data begin. */
const KEY_DATA: u32 = 4;

// @ts-ignore: decorator
@inline
function maxPrefix(map: u32): u32 {
  return load<u32>(map, LPM_DATA_SIZE) << 3;
}

// @ts-ignore: decorator
@inline
function bit(data: u32, index: u32): u32 {
  return (<u32>load<u8>(data + (index >>> 3)) >>> (7 - (index & 7))) & 1;
}

// @ts-ignore: decorator
@inline
function child(node: u32, which: u32): u32 {
  return load<u32>(node + (which << 2));
}

/** How many leading bits node and key share, at most the shorter of their prefixes. */
function match(map: u32, node: u32, key: u32): u32 {
  const limit = min(load<u32>(node, PREFIXLEN), load<u32>(key));
  const size = load<u32>(map, LPM_DATA_SIZE);
  const a = node + DATA;
  const b = key + KEY_DATA;
  let i: u32 = 0;
  for (; i + 4 <= size; i += 4) {
    if (i << 3 >= limit) return limit;
    const diff = load<u32>(a + i) ^ load<u32>(b + i);
    if (diff != 0) return min((i << 3) + clz(bswap<u32>(diff)), limit);
  }
  for (; i < size; i++) {
    if (i << 3 >= limit) return limit;
    const diff = <u32>load<u8>(a + i) ^ <u32>load<u8>(b + i);
    if (diff != 0) return min((i << 3) + clz(diff) - 24, limit);
  }
  return limit;
}

/** Offset of the value under the longest prefix that covers the key; 0: none does. */
export function lpm_lookup(map: u32, key: u32): u32 {
  const most = maxPrefix(map);
  if (load<u32>(key) > most) return 0;
  let found: u32 = 0;
  let node = load<u32>(map, LPM_ROOT);
  while (node != 0) {
    const matched = match(map, node, key);
    const prefixlen = load<u32>(node, PREFIXLEN);
    if (matched < prefixlen) break;
    if (!(load<u32>(node, FLAGS) & INTERMEDIATE)) found = node;
    if (matched == most) break;
    // A key as long as this prefix may have further bits: they count for nothing.
    node = child(node, bit(key + KEY_DATA, prefixlen));
  }
  return found == 0 ? 0 : found + load<u32>(map, MAP_VALUE_OFFSET);
}

function takeNode(map: u32): u32 {
  const free = poolPop(map);
  if (free != 0) return free;
  const n = poolStep(map);
  const size = load<u32>(map, POOL_ELEM_SIZE);
  const first = poolGrow(map, n);
  if (first == 0) return 0;
  const perm = load<u32>(map, MAP_PERM);
  for (let i: u32 = 0; i < n; i++) {
    const node = first + i * size;
    if (perm != PERM_NONE) paint(node + load<u32>(map, MAP_VALUE_OFFSET), load<u32>(map, MAP_VALUE_SIZE), perm);
    if (i != 0) poolPush(map, node);
  }
  return first;
}

function makeNode(map: u32, prefixlen: u32, data: u32, flags: u32): u32 {
  const node = takeNode(map);
  if (node == 0) return 0;
  store<u64>(node, 0);
  store<u32>(node, prefixlen, PREFIXLEN);
  store<u32>(node, flags, FLAGS);
  copyBytes(node + DATA, data, load<u32>(map, LPM_DATA_SIZE));
  return node;
}

function addEntry(map: u32, flags: u64): i32 {
  if (flags == BPF_EXIST) return -ENOENT;
  const n = load<u32>(map, MAP_COUNT);
  if (n == load<u32>(map, MAP_MAX_ENTRIES)) return -ENOSPC;
  store<u32>(map, n + 1, MAP_COUNT);
  return 0;
}

export function lpm_update(map: u32, key: u32, value: u32, flags: u64): i32 {
  if (flags > BPF_EXIST) return -EINVAL;
  const prefixlen = load<u32>(key);
  const most = maxPrefix(map);
  if (prefixlen > most) return -EINVAL;

  // Down to an empty slot, or to a node that the new one replaces, precedes or parts from.
  let slot = map + LPM_ROOT;
  let matched: u32 = 0;
  let node = load<u32>(slot);
  while (node != 0) {
    matched = match(map, node, key);
    const here = load<u32>(node, PREFIXLEN);
    if (here != matched || here == prefixlen || here == most) break;
    slot = node + (bit(key + KEY_DATA, here) << 2);
    node = load<u32>(slot);
  }
  const replaces = node != 0 && load<u32>(node, PREFIXLEN) == matched;
  const exists = replaces && !(load<u32>(node, FLAGS) & INTERMEDIATE);
  if (exists) {
    if (flags == BPF_NOEXIST) return -EEXIST;
  } else {
    const err = addEntry(map, flags);
    if (err != 0) return err;
  }

  const fresh = makeNode(map, prefixlen, key + KEY_DATA, 0);
  let parting: u32 = 0;
  const parts = node != 0 && !replaces && matched != prefixlen;
  if (fresh != 0 && parts) parting = makeNode(map, matched, node + DATA, INTERMEDIATE);
  if (fresh == 0 || (parts && parting == 0)) {
    if (fresh != 0) poolPush(map, fresh);
    if (!exists) store<u32>(map, load<u32>(map, MAP_COUNT) - 1, MAP_COUNT);
    return -ENOMEM;
  }
  copyBytes(fresh + load<u32>(map, MAP_VALUE_OFFSET), value, load<u32>(map, MAP_VALUE_SIZE));

  if (parts) {
    const side = bit(key + KEY_DATA, matched);
    store<u32>(parting + (side << 2), fresh);
    store<u32>(parting + ((side ^ 1) << 2), node);
    store<u32>(slot, parting);
    return 0;
  }
  if (replaces) {
    store<u64>(fresh, load<u64>(node));
    poolPush(map, node);
  } else if (node != 0) {
    store<u32>(fresh + (bit(node + DATA, matched) << 2), node);
  }
  store<u32>(slot, fresh);
  return 0;
}

export function lpm_delete(map: u32, key: u32): i32 {
  const prefixlen = load<u32>(key);
  if (prefixlen > maxPrefix(map)) return -EINVAL;
  let slot = map + LPM_ROOT;
  let parentSlot = slot;
  let parent: u32 = 0;
  let matched: u32 = 0;
  let node = load<u32>(slot);
  while (node != 0) {
    matched = match(map, node, key);
    const here = load<u32>(node, PREFIXLEN);
    if (here != matched || here == prefixlen) break;
    parent = node;
    parentSlot = slot;
    slot = node + (bit(key + KEY_DATA, here) << 2);
    node = load<u32>(slot);
  }
  if (node == 0) return -ENOENT;
  const here = load<u32>(node, PREFIXLEN);
  if (here != prefixlen || here != matched || load<u32>(node, FLAGS) & INTERMEDIATE) return -ENOENT;

  store<u32>(map, load<u32>(map, MAP_COUNT) - 1, MAP_COUNT);
  const left = child(node, 0);
  const right = child(node, 1);
  if (left != 0 && right != 0) {
    store<u32>(node, INTERMEDIATE, FLAGS);
    return 0;
  }
  if (left == 0 && right == 0 && parent != 0 && load<u32>(parent, FLAGS) & INTERMEDIATE) {
    // The parent has nothing left to part.
    store<u32>(parentSlot, child(parent, 0) == node ? child(parent, 1) : child(parent, 0));
    poolPush(map, parent);
  } else {
    store<u32>(slot, left != 0 ? left : right);
  }
  poolPush(map, node);
  return 0;
}

/** The first node in postorder below `node` that holds a value. */
function leftmost(node: u32): u32 {
  let found: u32 = 0;
  while (node != 0) {
    if (load<u32>(node, FLAGS) & INTERMEDIATE) {
      node = child(node, 0);
    } else {
      found = node;
      node = child(found, 0) != 0 ? child(found, 0) : child(found, 1);
    }
  }
  return found;
}

function nextOf(map: u32, key: u32, path: u32): u32 {
  const root = load<u32>(map, LPM_ROOT);
  let depth: i32 = -1;
  let matched: u32 = 0;
  let node = root;
  while (node != 0) {
    store<u32>(path + (<u32>++depth << 2), node);
    matched = match(map, node, key);
    const here = load<u32>(node, PREFIXLEN);
    if (here != matched || here == load<u32>(key)) break;
    node = child(node, bit(key + KEY_DATA, here));
  }
  if (node == 0 || load<u32>(node, PREFIXLEN) != matched || load<u32>(node, FLAGS) & INTERMEDIATE)
    return leftmost(root);
  for (; depth > 0; depth--) {
    const parent = load<u32>(path + (<u32>(depth - 1) << 2));
    if (child(parent, 0) == node && child(parent, 1) != 0) return leftmost(child(parent, 1));
    if (!(load<u32>(parent, FLAGS) & INTERMEDIATE)) return parent;
    node = parent;
  }
  return 0;
}

/**
 * Writes the key after `key` (0: the first) to `next`: longer prefixes before the ones that cover them. 0, -ENOENT at
 * the end, -ENOMEM. A key that is not in the trie stands for "before the first".
 */
export function lpm_next(map: u32, key: u32, next: u32): i32 {
  const root = load<u32>(map, LPM_ROOT);
  if (root == 0) return -ENOENT;
  const most = maxPrefix(map);
  let node: u32 = 0;
  if (key == 0 || load<u32>(key) > most) {
    node = leftmost(root);
  } else {
    const path = alloc((most + 1) << 2, 8);
    if (path == 0) return -ENOMEM;
    node = nextOf(map, key, path);
    release(path);
  }
  if (node == 0) return -ENOENT;
  store<u32>(next, load<u32>(node, PREFIXLEN));
  copyBytes(next + KEY_DATA, node + DATA, load<u32>(map, LPM_DATA_SIZE));
  return 0;
}
