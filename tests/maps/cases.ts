/** The contract of the map types: what Linux 6.18 says, and what the embedded maps must say. */
export const MAP_CASES: string = `
# array
map ARRAY 4 8 3 = 0
lookup 0 = 0
update 0 10 = 0
update 2 12 EXIST = 0
update 1 11 NOEXIST = EEXIST
update 3 13 = E2BIG
update 0 1 3 = EINVAL
update 0 1 F_LOCK = EINVAL
lookup 0 = 10
lookup 1 = 0
lookup 2 = 12
lookup 3 = ENOENT
lookup 0 F_LOCK = EINVAL
lookup 0 1 = EINVAL
lookup - = EFAULT
update - 1 = EFAULT
delete 0 = EINVAL
delete - = EFAULT
pop 0 = ENOTSUPP
next - = 0
next 0 = 1
next 2 = ENOENT
next 7 = 0
keys = 0 1 2

# array: attributes
map ARRAY 4 8 0 = EINVAL
map ARRAY 8 8 1 = EINVAL
map ARRAY 0 8 1 = EINVAL
map ARRAY 4 0 1 = EINVAL
map ARRAY 4 8 1 NO_PREALLOC = EINVAL
map ARRAY 4 8 1 RDONLY_PROG = 0
map ARRAY 4 8 1 WRONLY_PROG = 0
map ARRAY 4 8 1 RDONLY_PROG|WRONLY_PROG = EINVAL
map ARRAY 4 8 1 RDONLY|WRONLY = EINVAL
map ARRAY 4 8 1 MMAPABLE = 0
map ARRAY 4 8 1 INNER_MAP = 0
map ARRAY 4 8 1 PRESERVE_ELEMS = EINVAL
map ARRAY 4 8 1 NUMA_NODE = 0
map ARRAY 4 2147483648 1 = E2BIG
map ARRAY 4 8 1 extra=1 = EINVAL
map 0 4 8 1 = EINVAL
map 200 4 8 1 = EINVAL

# array: sizes that are no multiple of 8
map ARRAY 4 1 4 = 0
update 1 255 = 0
lookup 0 = 0
lookup 1 = 255
lookup 2 = 0
map ARRAY 4 13 2 = 0
update 0 x:000102030405060708090a0b0c = 0
update 1 x:ffffffffffffffffffffffffff = 0
lookup 0 = 954154417186781389109644624128

# frozen
map ARRAY 4 4 1 = 0
update 0 1 = 0
freeze = 0
freeze = EPERM
update 0 2 = EPERM
lookup 0 = 1
map HASH 4 4 1 = 0
update 0 1 = 0
freeze = 0
delete 0 = EPERM
pop 0 = EPERM
lookup 0 = 1

# per-CPU array
map PERCPU_ARRAY 4 4 2 = 0
lookup 0 = 0|0
update 0 10|20 = 0
update 0 10|20 NOEXIST = EEXIST
update 1 11|21 EXIST = 0
update 2 1|1 = E2BIG
update 0 1|1 4 = EINVAL
lookup 0 = 10|20
lookup 1 = 11|21
lookup 2 = ENOENT
delete 0 = EINVAL
keys = 0 1

# per-CPU array: attributes
map PERCPU_ARRAY 4 8 1 NUMA_NODE = EINVAL
map PERCPU_ARRAY 4 8 1 MMAPABLE = EINVAL
map PERCPU_ARRAY 4 8 1 INNER_MAP = EINVAL
map PERCPU_ARRAY 4 32768 1 = 0
map PERCPU_ARRAY 4 32769 1 = E2BIG

# hash
map HASH 4 8 2 = 0
lookup 1 = ENOENT
next - = ENOENT
keys =
update 1 10 EXIST = ENOENT
update 1 10 NOEXIST = 0
update 1 11 NOEXIST = EEXIST
update 2 20 = 0
update 3 30 = E2BIG
update 1 12 EXIST = 0
update 2 22 ANY = 0
lookup 1 = 12
lookup 2 = 22
lookup 3 = ENOENT
update 1 1 3 = EINVAL
update 1 1 F_LOCK = EINVAL
update 1 1 8 = EINVAL
keys = 1 2
delete 3 = ENOENT
delete 1 = 0
delete 1 = ENOENT
keys = 2
next 1 = 2
update 3 30 = 0
update 4 40 = E2BIG
pop 3 = 30
pop 3 = ENOENT
pop 2 1 = EINVAL
keys = 2

# hash without preallocation
map HASH 4 8 2 NO_PREALLOC = 0
update 1 10 = 0
update 2 20 = 0
update 3 30 = E2BIG
update 1 11 = 0
delete 1 = 0
update 3 30 = 0
pop 2 = 20
keys = 3

# hash: keys of many sizes
map HASH 1 1 8 = 0
update 7 70 = 0
update 8 80 = 0
lookup 7 = 70
lookup 8 = 80
map HASH 8 3 8 = 0
update 4294967296 70 = 0
update 0 80 = 0
lookup 4294967296 = 70
lookup 0 = 80
map HASH 16 16 8 = 0
update x:000102030405060708090a0b0c0d0e0f 1 = 0
update x:000102030405060708090a0b0c0d0e00 2 = 0
lookup x:000102030405060708090a0b0c0d0e0f = 1
lookup x:000102030405060708090a0b0c0d0e00 = 2
lookup x:010102030405060708090a0b0c0d0e00 = ENOENT
map HASH 7 2 8 = 0
update x:00010203040506 1 = 0
update x:00010203040507 2 = 0
lookup x:00010203040506 = 1
lookup x:00010203040507 = 2

# hash: attributes
map HASH 4 8 0 = EINVAL
map HASH 0 8 1 = EINVAL
map HASH 4 0 1 = EINVAL
map HASH 4 8 1 MMAPABLE = EINVAL
map HASH 4 8 1 NO_COMMON_LRU = EINVAL
map HASH 4 8 1 ZERO_SEED = 0
map HASH 4 8 1 NUMA_NODE = 0
map HASH 4 8 1 RDONLY_PROG|WRONLY_PROG = EINVAL
map HASH 4 4194251 1 = 0
map HASH 4 4194252 1 = E2BIG
map HASH 4 8 2147483649 = E2BIG
map PERCPU_HASH 4 32768 1 = 0
map PERCPU_HASH 4 32769 1 = E2BIG
map PERCPU_HASH 4 8 1 NUMA_NODE = EINVAL
map LRU_HASH 4 8 1 NO_PREALLOC = ENOTSUPP
map LRU_HASH 4 8 1 NO_COMMON_LRU = 0
map LRU_HASH 4 8 1 NO_COMMON_LRU|NUMA_NODE = EINVAL

# per-CPU hash
map PERCPU_HASH 4 4 2 = 0
update 1 10|20 = 0
lookup 1 = 10|20
update 1 11|21 NOEXIST = EEXIST
update 1 11|21 EXIST = 0
lookup 1 = 11|21
update 2 12|22 = 0
update 3 13|23 = E2BIG
update 3 13|23 EXIST = ENOENT
update 3 1|1 F_LOCK = EINVAL
delete 2 = 0
update 3 13|23 = 0
pop 3 = 13|23
keys = 1

# per-CPU hash without preallocation
map PERCPU_HASH 8 8 1 NO_PREALLOC = 0
update 1 10|20 = 0
update 2 10|20 = E2BIG
delete 1 = 0
update 2 12|22 = 0
lookup 2 = 12|22

# LRU hash
map LRU_HASH 4 8 100 = 0
update 1 10 = 0
update 1 11 NOEXIST = EEXIST
update 2 20 EXIST = ENOENT
update 1 12 EXIST = 0
update 1 12 F_LOCK = EINVAL
lookup 1 = 12
lookup 2 = ENOENT
delete 2 = ENOENT
update 3 30 = 0
keys = 1 3
pop 3 = 30
delete 1 = 0
keys =

# LRU hash of one
map LRU_HASH 4 8 1 = 0
update 1 10 = 0
update 2 20 = 0
lookup 1 = ENOENT
lookup 2 = 20

# per-CPU LRU hash
map LRU_PERCPU_HASH 4 8 10 = 0
update 1 10|20 = 0
update 1 11|21 = 0
update 2 12|22 EXIST = ENOENT
lookup 1 = 11|21
pop 1 = 11|21
keys =

# LPM trie
map LPM_TRIE 8 4 10 NO_PREALLOC = 0
next - = ENOENT
lookup 10.0.0.1/32 = ENOENT
update 10.0.0.0/8 8 = 0
update 10.1.0.0/16 16 = 0
update 10.1.2.0/24 24 = 0
update 192.168.0.0/16 99 NOEXIST = 0
lookup 10.1.2.3/32 = 24
lookup 10.1.3.3/32 = 16
lookup 10.2.3.4/32 = 8
lookup 11.0.0.0/32 = ENOENT
lookup 10.1.0.0/12 = 8
lookup 10.1.2.3/33 = ENOENT
update 10.1.2.3/33 1 = EINVAL
delete 10.1.2.3/33 = EINVAL
update 10.1.0.0/16 17 NOEXIST = EEXIST
update 10.1.0.0/16 17 EXIST = 0
update 10.9.0.0/16 17 EXIST = ENOENT
update 10.9.0.0/16 17 3 = EINVAL
update 10.9.0.0/16 17 F_LOCK = EINVAL
lookup 10.1.3.3/32 = 17
keys = 10.1.2.0/24 10.1.0.0/16 10.0.0.0/8 192.168.0.0/16
next 10.1.0.0/16 = 10.0.0.0/8
next 1.2.3.4/32 = 10.1.2.0/24
pop 10.0.0.0/8 = ENOTSUPP
delete 10.1.0.0/16 = 0
delete 10.1.0.0/16 = ENOENT
lookup 10.1.3.3/32 = 8
keys = 10.1.2.0/24 10.0.0.0/8 192.168.0.0/16
update 0.0.0.0/0 1 = 0
lookup 99.0.0.0/32 = 1
lookup 0.0.0.0/0 = 1
keys = 10.1.2.0/24 10.0.0.0/8 192.168.0.0/16 0.0.0.0/0
delete 0.0.0.0/0 = 0

# LPM trie: full
map LPM_TRIE 8 4 2 NO_PREALLOC = 0
update 10.0.0.0/8 8 = 0
update 11.0.0.0/8 8 = 0
update 12.0.0.0/8 8 = ENOSPC
update 10.0.0.0/7 7 = ENOSPC
update 10.0.0.0/8 9 = 0
delete 11.0.0.0/8 = 0
update 12.0.0.0/8 8 = 0
keys = 10.0.0.0/8 12.0.0.0/8

# LPM trie: siblings and intermediate nodes
map LPM_TRIE 8 4 20 NO_PREALLOC = 0
update 192.168.0.0/24 1 = 0
update 192.168.1.0/24 2 = 0
update 192.168.128.0/24 3 = 0
update 192.168.0.0/16 4 = 0
keys = 192.168.0.0/24 192.168.1.0/24 192.168.128.0/24 192.168.0.0/16
update 192.168.0.0/23 5 EXIST = ENOENT
update 192.168.0.0/23 5 = 0
lookup 192.168.1.9/32 = 2
delete 192.168.1.0/24 = 0
lookup 192.168.1.9/32 = 5
delete 192.168.0.0/23 = 0
lookup 192.168.1.9/32 = 4
keys = 192.168.0.0/24 192.168.128.0/24 192.168.0.0/16
delete 192.168.0.0/16 = 0
delete 192.168.0.0/24 = 0
keys = 192.168.128.0/24

# LPM trie: data of one byte
map LPM_TRIE 5 1 8 NO_PREALLOC = 0
update 128/1 1 = 0
update 160/3 2 = 0
lookup 161/8 = 2
lookup 129/8 = 1
lookup 1/8 = ENOENT

# LPM trie: attributes
map LPM_TRIE 8 4 1 = EINVAL
map LPM_TRIE 4 4 1 NO_PREALLOC = EINVAL
map LPM_TRIE 260 4 1 NO_PREALLOC = 0
map LPM_TRIE 261 4 1 NO_PREALLOC = EINVAL
map LPM_TRIE 8 0 1 NO_PREALLOC = EINVAL
map LPM_TRIE 8 4 0 NO_PREALLOC = EINVAL
map LPM_TRIE 8 4 1 NO_PREALLOC|ZERO_SEED = EINVAL
map LPM_TRIE 8 4194024 1 NO_PREALLOC = 0
map LPM_TRIE 8 4194025 1 NO_PREALLOC = EINVAL

# queue
map QUEUE 0 4 2 = 0
lookup - = ENOENT
pop - = ENOENT
update - 1 = 0
update - 2 = 0
update - 3 = E2BIG
lookup - = 1
update - 3 EXIST = 0
lookup - = 2
update - 3 NOEXIST = EINVAL
update - 3 3 = EINVAL
update - 3 F_LOCK = EINVAL
update 1 3 = EINVAL
lookup 1 = EINVAL
delete - = EINVAL
next - = EINVAL
pop - F_LOCK = EINVAL
pop - = 2
pop - = 3
pop - = ENOENT
update - 4 = 0
pop - = 4

# stack
map STACK 0 4 2 = 0
lookup - = ENOENT
update - 1 = 0
update - 2 = 0
update - 3 = E2BIG
lookup - = 2
update - 3 EXIST = 0
pop - = 3
pop - = 2
pop - = ENOENT
update - 4 = 0
update - 5 = 0
pop - = 5
delete - = EINVAL
next - = EINVAL

# queue and stack: attributes
map QUEUE 4 4 2 = EINVAL
map QUEUE 0 0 2 = EINVAL
map QUEUE 0 4 0 = EINVAL
map QUEUE 0 4 2 NO_PREALLOC = EINVAL
map QUEUE 0 4194305 1 = E2BIG
map STACK 0 8 4 RDONLY_PROG|WRONLY_PROG = EINVAL

# bloom filter
map BLOOM_FILTER 0 4 100 ZERO_SEED = 0
peek 1 = ENOENT
update - 1 = 0
update - 2 = 0
peek 1 = 0
peek 2 = 0
peek 3 = ENOENT
update - 3 NOEXIST = EINVAL
update - 3 EXIST = EINVAL
update 1 3 = EINVAL
delete - = EOPNOTSUPP
next - = EOPNOTSUPP
pop - = ENOTSUPP

# bloom filter: attributes
map BLOOM_FILTER 4 4 1 = EINVAL
map BLOOM_FILTER 0 0 1 = EINVAL
map BLOOM_FILTER 0 4 0 = EINVAL
map BLOOM_FILTER 0 4 1 extra=15 = 0
map BLOOM_FILTER 0 4 1 extra=16 = EINVAL
map BLOOM_FILTER 0 4194305 1 = E2BIG
map BLOOM_FILTER 0 4 1 NO_PREALLOC = EINVAL

# ring buffer
map RINGBUF 0 0 4096 = 0
lookup - = ENOTSUPP
update - 0 = ENOTSUPP
delete - = ENOTSUPP
next - = ENOTSUPP
pop - = ENOTSUPP
map RINGBUF 0 0 0 = EINVAL
map RINGBUF 0 0 1024 = EINVAL
map RINGBUF 0 0 12288 = EINVAL
map RINGBUF 4 0 4096 = EINVAL
map RINGBUF 0 4 4096 = EINVAL
map RINGBUF 0 0 4096 RDONLY = EINVAL
map RINGBUF 0 0 4096 NUMA_NODE = 0

# program array
map PROG_ARRAY 4 4 2 = 0
lookup 0 = ENOENT
lookup 2 = ENOENT
update 0 999999 = EBADF
update 2 999999 = E2BIG
update 0 999999 NOEXIST = EINVAL
delete 0 = ENOENT
delete 2 = E2BIG
keys = 0 1
pop 0 = ENOTSUPP
map PROG_ARRAY 4 8 2 = EINVAL
map PROG_ARRAY 4 4 2 RDONLY_PROG = EINVAL
map PROG_ARRAY 4 4 2 MMAPABLE = EINVAL

# perf event array
map PERF_EVENT_ARRAY 4 4 2 = 0
lookup 0 = ENOTSUPP
update 0 999999 = EBADF
update 2 999999 = E2BIG
update 0 1 EXIST = EINVAL
delete 0 = ENOENT
delete 2 = E2BIG
keys = 0 1
map PERF_EVENT_ARRAY 4 4 2 PRESERVE_ELEMS = 0
map PERF_EVENT_ARRAY 4 8 2 = EINVAL

# array of maps
map HASH 4 8 2 as A = 0
map HASH 4 8 5 as B = 0
map HASH 4 4 2 as C = 0
map ARRAY_OF_MAPS 4 4 2 inner=A as O = 0
id 0 = ENOENT
update 0 @A = 0
id 0 = some
update 1 @B = 0
update 1 @C = EINVAL
update 1 @O = EINVAL
update 2 @A = E2BIG
update 0 @A NOEXIST = EINVAL
update 0 999999 = EBADF
id 1 = some
delete 1 = 0
delete 1 = ENOENT
id 1 = ENOENT
keys = 0 1
pop 0 = ENOTSUPP

# array of maps: attributes
map PROG_ARRAY 4 4 1 as P = 0
map HASH 4 8 1 as A = 0
map ARRAY_OF_MAPS 4 4 2 inner=999999 = EBADF
map ARRAY_OF_MAPS 4 4 2 inner=P = ENOTSUPP
map ARRAY_OF_MAPS 4 8 2 inner=A = EINVAL
map ARRAY_OF_MAPS 4 4 2 inner=A as O = 0
map ARRAY_OF_MAPS 4 4 2 inner=O = EINVAL
map HASH_OF_MAPS 4 4 2 inner=O = EINVAL
map HASH_OF_MAPS 4 8 2 inner=A = EINVAL

# arrays in maps of maps
map ARRAY 4 8 2 as A = 0
map ARRAY 4 8 3 as B = 0
map ARRAY 4 8 2 INNER_MAP as C = 0
map ARRAY 4 8 3 INNER_MAP as D = 0
map ARRAY_OF_MAPS 4 4 2 inner=A as O = 0
update 0 @A = 0
update 0 @B = EINVAL
update 0 @C = EINVAL
map ARRAY_OF_MAPS 4 4 2 inner=C = 0
update 0 @D = 0
update 0 @A = EINVAL

# hash of maps
map ARRAY 4 8 2 as A = 0
map ARRAY 4 8 2 as B = 0
map HASH_OF_MAPS 4 4 2 inner=A as O = 0
id 1 = ENOENT
update 1 @A = 0
update 1 @B NOEXIST = EEXIST
update 1 @B = 0
update 2 @A = 0
update 3 @A = E2BIG
id 1 = some
keys = 1 2
delete 1 = 0
delete 1 = ENOENT
pop 2 = ENOTSUPP
keys = 2
`;
