/** The contract of the map helpers, seen from programs: what Linux 6.18 says, and what the embedded kernel must say. */
export const PROGRAM_CASES: string = `
# array
map ARRAY 4 4 3 = 0
update 1 11 = 0
prog lookup 0 = 0
prog lookup 1 = 11
prog lookup 3 = null
prog update 2 22 = 0
prog update 3 1 = E2BIG
prog update 0 1 NOEXIST = EEXIST
prog update 0 1 3 = EINVAL
prog update 0 1 F_LOCK = EINVAL
prog delete 1 = EINVAL
prog add 1 - 5 = 16
prog stale 1 99 = 99
lookup 1 = 99
lookup 2 = 22
prog each = 2291

# per-CPU array
map PERCPU_ARRAY 4 4 3 = 0
update 1 11|21 = 0
prog percpu 1 - 0 = 11
prog percpu 1 - 1 = 21
prog percpu 1 - 4096 = null
prog percpu 3 - 0 = null
prog lookup 1 = 11
prog update 1 12 = 0
lookup 1 = 12|21
prog update 1 12 NOEXIST = EEXIST
prog update 7 12 = E2BIG
prog delete 1 = EINVAL
prog each = 195

# hash
map HASH 4 8 2 = 0
prog lookup 1 = null
prog delete 1 = ENOENT
prog update 1 10 EXIST = ENOENT
prog update 1 10 NOEXIST = 0
prog update 1 10 NOEXIST = EEXIST
prog update 2 20 = 0
prog update 3 30 = E2BIG
prog update 1 11 = 0
prog update 1 11 3 = EINVAL
prog update 1 11 F_LOCK = EINVAL
prog lookup 1 = 11
prog add 1 - 5 = 16
prog each = 898
lookup 1 = 16
prog delete 1 = 0
keys = 2

# hash: an old pointer sees the old value
map HASH 4 8 4 = 0
update 1 10 = 0
prog stale 1 11 = 10
lookup 1 = 11
prog update 1 12 = 0
prog stale 1 13 = 12
lookup 1 = 13
prog deleted 1 = 13
keys =

# hash without preallocation: an old pointer sees the old value
map HASH 4 8 4 NO_PREALLOC = 0
update 1 10 = 0
prog stale 1 11 = 10
lookup 1 = 11
prog deleted 1 = 11
keys =

# hash: keys of 8, 5 and 20 bytes
map HASH 8 4 4 = 0
prog update 5 50 = 0
prog lookup 5 = 50
prog delete 5 = 0
map HASH 5 4 4 = 0
prog update 5 50 = 0
prog lookup 5 = 50
prog delete 5 = 0
map HASH 20 4 4 = 0
prog update 5 50 = 0
prog lookup 5 = 50
prog delete 5 = 0

# hash: values of 1, 2, 12 and 200 bytes
map HASH 4 1 4 = 0
prog update 1 200 = 0
prog lookup 1 = 200
map HASH 4 2 4 = 0
prog update 1 20000 = 0
prog lookup 1 = 20000
map HASH 4 12 4 = 0
prog update 1 x:0102030405060708090a0b0c = 0
lookup 1 = 3727165692135864801209549313
map HASH 4 200 4 = 0
prog update 1 77 = 0
prog lookup 1 = 77

# per-CPU hash
map PERCPU_HASH 4 4 2 = 0
prog update 1 10 = 0
lookup 1 = 10|0
prog lookup 1 = 10
prog percpu 1 - 1 = 0
update 1 11|21 = 0
prog percpu 1 - 1 = 21
prog percpu 1 - 9999 = null
prog percpu 2 - 0 = null
prog update 1 12 = 0
lookup 1 = 12|21
prog update 2 20 NOEXIST = 0
prog update 3 30 = E2BIG
prog each = 834
prog delete 1 = 0
prog update 3 30 = 0
lookup 3 = 30|0

# for_each stops when told
map ARRAY 4 4 100 = 0
prog each = 100
prog each - - 7 = 7
map HASH 4 4 100 = 0
prog each = 0
update 5 1 = 0
update 5 1 = 0
prog each - - 1 = 81

# LRU hash
map LRU_HASH 4 4 8 = 0
prog update 1 10 = 0
prog lookup 1 = 10
prog add 1 - 1 = 11
prog update 1 12 NOEXIST = EEXIST
prog update 2 12 EXIST = ENOENT
prog update 2 12 F_LOCK = EINVAL
prog delete 2 = ENOENT
prog stale 1 13 = 11
prog each = 209
prog delete 1 = 0

# per-CPU LRU hash
map LRU_PERCPU_HASH 4 4 8 = 0
prog update 1 10 = 0
lookup 1 = 10|0
prog percpu 1 - 0 = 10
prog update 1 11 EXIST = 0
prog lookup 1 = 11
prog delete 1 = 0

# LPM trie
map LPM_TRIE 8 4 8 NO_PREALLOC = 0
prog update 10.0.0.0/8 8 = 0
prog update 10.1.0.0/16 16 = 0
prog lookup 10.1.2.3/32 = 16
prog lookup 10.2.2.3/32 = 8
prog lookup 11.2.2.3/32 = null
prog lookup 10.2.2.3/33 = null
prog update 10.2.2.3/33 1 = EINVAL
prog update 10.0.0.0/8 9 NOEXIST = EEXIST
prog stale 10.0.0.0/8 9 = 8
prog lookup 10.2.2.3/32 = 9
prog deleted 10.1.0.0/16 = 16
prog delete 10.1.0.0/16 = ENOENT
keys = 10.0.0.0/8

# queue
map QUEUE 0 4 2 = 0
prog pop = ENOENT
prog peek = ENOENT
prog push - 1 = 0
prog push - 2 = 0
prog push - 3 = E2BIG
prog peek = 1
prog push - 3 EXIST = 0
prog push - 4 NOEXIST = EINVAL
prog pop = 2
pop - = 3

# stack
map STACK 0 4 2 = 0
prog pop = ENOENT
prog push - 1 = 0
prog push - 2 = 0
prog push - 3 = E2BIG
prog push - 3 EXIST = 0
prog peek = 3
prog pop = 3
prog pop = 2
prog pop = ENOENT

# bloom filter
map BLOOM_FILTER 0 4 64 ZERO_SEED = 0
prog push - 5 = 0
prog push - 5 EXIST = EINVAL
prog peek - 5 = 5
prog peek - 6 = ENOENT
peek 5 = 0

# ring buffer
map RINGBUF 0 0 4096 = 0
prog query - - 0 = 0
prog query - - 1 = 4096
prog output - 5 = 0
prog output - 6 1 = 0
prog output - 6 4 = EINVAL
prog reserve - 7 = 0
prog discard - - 100 = 0
prog query - - 0 = 160
prog query - - 2 = 0
prog query - - 3 = 160
prog query - - 9 = 0
prog discard - - 4089 = 1
prog discard - - 3920 = 0
prog output - 8 = EAGAIN
prog reserve - 8 = 1

# map in map
map HASH 4 4 4 as A = 0
update 0 100 = 0
map HASH 4 4 4 as B = 0
update 1 101 = 0
map ARRAY_OF_MAPS 4 4 3 inner=A as O = 0
update 0 @A = 0
update 1 @B = 0
prog inner 0 = 100
prog inner 1 = 101
prog inner 2 = null
prog inner 3 = null
prog inner-update 1 102 = 0
prog inner-update 2 102 = null
use B = 0
lookup 1 = 102
use O = 0
delete 1 = 0
prog inner 1 = null

# hash of maps
map ARRAY 4 4 4 as A = 0
update 2 100 = 0
map HASH_OF_MAPS 4 4 3 inner=A = 0
prog inner 2 = null
update 2 @A = 0
prog inner 2 = 100
prog inner-update 2 7 = 0
prog inner 2 = 7
`;

/** What the backend of the running kernel cannot do: reading ring buffers. */
export const EMBEDDED_CASES: string = `
# ring buffer, read
map RINGBUF 0 0 4096 = 0
drain =
prog output - 5 = 0
prog output - 6 1 = 0
prog reserve - 7 = 0
prog discard - - 100 = 0
drain = 5 6 7
prog query - - 0 = 0
prog query - - 2 = 160
prog discard - - 4088 = 1
prog discard - - 4080 = 0
prog output - 8 = EAGAIN
drain =
prog output - 8 = 0
drain = 8
`;
