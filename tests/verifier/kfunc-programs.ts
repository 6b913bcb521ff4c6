/**
 * Programs that call kernel functions newer than the recorded selftests: resilient locks, saved IRQ flags, walks over
 * trees and lists, metadata of packets, untrusted memory. Each with the last line that Linux 6.18.44 logs for it.
 */

/** Goes before each program. */
export const DECLARATIONS = `
struct __sk_buff { __u32 len; };
struct xdp_md { __u32 data, data_end; };
struct bpf_spin_lock { __u32 val; };
struct bpf_res_spin_lock { __u32 val; };
struct bpf_rb_root { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 opaque[4]; } __attribute__((aligned(8)));
struct bpf_list_head { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_refcount { __u32 opaque[1]; } __attribute__((aligned(4)));
struct bpf_dynptr { __u64 opaque[2]; } __attribute__((aligned(8)));
struct task_struct { int pid; } __attribute__((preserve_access_index));
static long (*bpf_spin_lock)(struct bpf_spin_lock *) = (void *)93;
static long (*bpf_spin_unlock)(struct bpf_spin_lock *) = (void *)94;
static long (*bpf_copy_from_user)(void *, __u32, const void *) = (void *)148;
static long (*bpf_skb_pull_data)(struct __sk_buff *, __u32) = (void *)39;
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *, unsigned long *) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *, unsigned long *) __ksym;
extern void bpf_local_irq_save(unsigned long *) __ksym;
extern void bpf_local_irq_restore(unsigned long *) __ksym;
extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *) __ksym;
extern struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *, struct bpf_rb_node *) __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *) __ksym;
extern struct bpf_list_node *bpf_list_back(struct bpf_list_head *) __ksym;
extern void bpf_obj_drop_impl(void *, void *) __ksym;
extern int bpf_dynptr_from_skb_meta(struct __sk_buff *, __u64, struct bpf_dynptr *) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *, __u32, void *, __u32) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void *bpf_rdonly_cast(const void *, __u32) __ksym;
extern int bpf_xdp_pull_data(struct xdp_md *, __u32) __ksym;
extern void *bpf_obj_new_impl(__u64, void *) __ksym;
extern void *bpf_refcount_acquire_impl(void *, void *) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *, struct bpf_rb_node *) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *) __ksym;
extern struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *, struct bpf_rb_node *) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *, struct bpf_rb_node *, bool (less)(struct bpf_rb_node *, const struct bpf_rb_node *), void *, __u64) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *, struct bpf_list_node *, void *, __u64) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define private(name) SEC(".data." #name) __attribute__((aligned(8)))
#define container_of_(p, t, m) ((t *)((void *)(p) - __builtin_offsetof(t, m)))
#define NEW(t) ((t *)bpf_obj_new_impl(__builtin_btf_type_id(*(t *)0, 0), 0))
#define untrusted __attribute__((btf_decl_tag("arg:untrusted")))
struct val { struct bpf_res_spin_lock l; long x; };
struct { __uint(type, 2); __uint(max_entries, 4); __type(key, int); __type(value, struct val); } arr SEC(".maps");
private(A) struct bpf_res_spin_lock la;
private(B) struct bpf_res_spin_lock lb;
struct nd { long key; struct bpf_rb_node r; };
struct ln { long key; struct bpf_list_node n; };
struct rcobj { long key; struct bpf_rb_node r; struct bpf_refcount ref; };
private(C) struct bpf_spin_lock gl;
private(C) struct bpf_rb_root root __contains(nd, r);
private(D) struct bpf_spin_lock hl;
private(D) struct bpf_list_head head __contains(ln, n);
private(E) struct bpf_res_spin_lock rl;
private(E) struct bpf_rb_root rroot __contains(rc, r);
__noinline int un(int *p untrusted) { return *p; }
__noinline int un2(struct task_struct *t untrusted) { return t->pid; }
static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b) { return container_of_(a, struct nd, r)->key < container_of_(b, struct nd, r)->key; }
static bool less_unlock(struct bpf_rb_node *a, const struct bpf_rb_node *b) { bpf_spin_unlock(&gl); return 0; }
static bool less_left(struct bpf_rb_node *a, const struct bpf_rb_node *b) { return bpf_rbtree_left(&root, a) != 0; }
static bool less_rc(struct bpf_rb_node *a, const struct bpf_rb_node *b) { return container_of_(a, struct rcobj, r)->key < container_of_(b, struct rcobj, r)->key; }
static __noinline void saver(unsigned long *f) { bpf_local_irq_save(f); }
__noinline int glob(struct __sk_buff *c) { return c->len; }
`;

export interface KfuncProgram {
  readonly section: string;
  readonly name: string;
  /** "" for a program that loads. */
  readonly message: string;
  readonly code: string;
}

export const PROGRAMS: readonly KfuncProgram[] = [
  {
    section: "tc",
    name: "res_ok",
    message: "",
    code: "int res_ok(struct __sk_buff *c) { if (bpf_res_spin_lock(&la)) return 1; bpf_res_spin_unlock(&la); return 0; }",
  },
  {
    section: "tc",
    name: "res_two",
    message: "",
    code: "int res_two(struct __sk_buff *c) { if (bpf_res_spin_lock(&la)) return 1; if (!bpf_res_spin_lock(&lb)) bpf_res_spin_unlock(&lb); bpf_res_spin_unlock(&la); return 0; }",
  },
  {
    section: "tc",
    name: "res_aa",
    message: "Acquiring the same lock again, AA deadlock detected",
    code: "int res_aa(struct __sk_buff *c) { if (bpf_res_spin_lock(&la)) return 1; if (!bpf_res_spin_lock(&la)) bpf_res_spin_unlock(&la); bpf_res_spin_unlock(&la); return 0; }",
  },
  {
    section: "tc",
    name: "res_ooo",
    message: "bpf_res_spin_unlock cannot be out of order",
    code: "int res_ooo(struct __sk_buff *c) { if (bpf_res_spin_lock(&la)) return 1; if (bpf_res_spin_lock(&lb)) { bpf_res_spin_unlock(&la); return 1; } bpf_res_spin_unlock(&la); bpf_res_spin_unlock(&lb); return 0; }",
  },
  {
    section: "tc",
    name: "res_leak",
    message: "BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region",
    code: "int res_leak(struct __sk_buff *c) { if (bpf_res_spin_lock(&la)) return 1; return 0; }",
  },
  {
    section: "tc",
    name: "res_nocheck",
    message: "bpf_res_spin_unlock without taking a lock",
    code: "int res_nocheck(struct __sk_buff *c) { bpf_res_spin_lock(&la); bpf_res_spin_unlock(&la); return 0; }",
  },
  {
    section: "tc",
    name: "res_wrong",
    message: "bpf_res_spin_unlock of different lock",
    code: "int res_wrong(struct __sk_buff *c) { if (bpf_res_spin_lock(&la)) return 1; bpf_res_spin_unlock(&lb); return 0; }",
  },
  {
    section: "tc",
    name: "irq_ok",
    message: "",
    code: "int irq_ok(struct __sk_buff *c) { unsigned long f; bpf_local_irq_save(&f); bpf_local_irq_restore(&f); return 0; }",
  },
  {
    section: "tc",
    name: "irq_nest",
    message: "",
    code: "int irq_nest(struct __sk_buff *c) { unsigned long f, g; bpf_local_irq_save(&f); bpf_local_irq_save(&g); bpf_local_irq_restore(&g); bpf_local_irq_restore(&f); return 0; }",
  },
  {
    section: "tc",
    name: "irq_ooo",
    message: "cannot restore irq state out of order, expected id=2 acquired at insn_idx=7",
    code: "int irq_ooo(struct __sk_buff *c) { unsigned long f, g; bpf_local_irq_save(&f); bpf_local_irq_save(&g); bpf_local_irq_restore(&f); bpf_local_irq_restore(&g); return 0; }",
  },
  {
    section: "tc",
    name: "irq_leak",
    message: "BPF_EXIT instruction in main prog cannot be used inside bpf_local_irq_save-ed region",
    code: "int irq_leak(struct __sk_buff *c) { unsigned long f; bpf_local_irq_save(&f); return 0; }",
  },
  {
    section: "tc",
    name: "irq_twice",
    message: "expected uninitialized irq flag as arg#0",
    code: "int irq_twice(struct __sk_buff *c) { unsigned long f; bpf_local_irq_save(&f); bpf_local_irq_save(&f); return 0; }",
  },
  {
    section: "tc",
    name: "irq_uninit",
    message: "expected an initialized irq flag as arg#0",
    code: "int irq_uninit(struct __sk_buff *c) { unsigned long f = 0; bpf_local_irq_restore(&f); return 0; }",
  },
  {
    section: "tc",
    name: "irq_over",
    message: "expected an initialized irq flag as arg#0",
    code: "int irq_over(struct __sk_buff *c) { unsigned long f; bpf_local_irq_save(&f); *(volatile unsigned long *)&f = 1; bpf_local_irq_restore(&f); return 0; }",
  },
  {
    section: "tc",
    name: "irq_class",
    message: "function calls are not allowed while holding a lock",
    code: "int irq_class(struct __sk_buff *c) { unsigned long f; if (bpf_res_spin_lock_irqsave(&la, &f)) return 1; bpf_local_irq_restore(&f); return 0; }",
  },
  {
    section: "tc",
    name: "irq_lock_ok",
    message: "",
    code: "int irq_lock_ok(struct __sk_buff *c) { unsigned long f; if (bpf_res_spin_lock_irqsave(&la, &f)) return 1; bpf_res_spin_unlock_irqrestore(&la, &f); return 0; }",
  },
  {
    section: "syscall",
    name: "irq_sleep",
    message: "sleepable helper bpf_copy_from_user#148 in IRQ-disabled region",
    code: "int irq_sleep(void *c) { unsigned long f; char b[4]; bpf_local_irq_save(&f); bpf_copy_from_user(b, 4, 0); bpf_local_irq_restore(&f); return 0; }",
  },
  {
    section: "tc",
    name: "meta_ok",
    message: "",
    code: "int meta_ok(struct __sk_buff *c) { struct bpf_dynptr d; if (bpf_dynptr_from_skb_meta(c, 0, &d)) return 0; char *p = bpf_dynptr_slice(&d, 0, 0, 4); return p ? p[0] : 0; }",
  },
  {
    section: "tc",
    name: "meta_stale",
    message: "R8 invalid mem access 'scalar'",
    code: "int meta_stale(struct __sk_buff *c) { struct bpf_dynptr d; if (bpf_dynptr_from_skb_meta(c, 0, &d)) return 0; char *p = bpf_dynptr_slice(&d, 0, 0, 4); if (!p) return 0; bpf_skb_pull_data(c, 0); return p[0]; }",
  },
  {
    section: "syscall",
    name: "rcu_nest",
    message: "nested rcu read lock (kernel function bpf_rcu_read_lock)",
    code: "int rcu_nest(void *c) { bpf_rcu_read_lock(); bpf_rcu_read_lock(); bpf_rcu_read_unlock(); bpf_rcu_read_unlock(); return 0; }",
  },
  {
    section: "tc",
    name: "cast_void",
    message: "",
    code: "int cast_void(struct __sk_buff *c) { int *p = bpf_rdonly_cast(c, 0); return *(p + 100); }",
  },
  {
    section: "tc",
    name: "cast_write",
    message: "R0 cannot write into rdonly_untrusted_mem",
    code: "int cast_write(struct __sk_buff *c) { int *p = bpf_rdonly_cast(c, 0); *p = 1; return 0; }",
  },
  {
    section: "tc",
    name: "arr_const",
    message: "R0 invalid mem access 'map_value_or_null'",
    code: "int arr_const(struct __sk_buff *c) { int k = 2; struct val *v = bpf_map_lookup_elem(&arr, &k); return v->x; }",
  },
  {
    section: "tc",
    name: "arr_oob",
    message: "R0 invalid mem access 'map_value_or_null'",
    code: "int arr_oob(struct __sk_buff *c) { int k = 4; struct val *v = bpf_map_lookup_elem(&arr, &k); return v->x; }",
  },
  {
    section: "tc",
    name: "arg_untrusted",
    message: "",
    code: "int arg_untrusted(struct __sk_buff *c) { return un((int *)c); }",
  },
  {
    section: "tc",
    name: "arg_untrusted2",
    message: "",
    code: "int arg_untrusted2(struct __sk_buff *c) { return un2((void *)c); }",
  },
  {
    section: "xdp",
    name: "pull",
    message: "R6 invalid mem access 'scalar'",
    code: "int pull(struct xdp_md *c) { void *d = (void *)(long)c->data, *e = (void *)(long)c->data_end; if (d + 4 > e) return 0; bpf_xdp_pull_data(c, 4); return *(int *)d; }",
  },
  {
    section: "tc",
    name: "rb_root_ok",
    message: "",
    code: "int rb_root_ok(struct __sk_buff *c) { long k = 0; bpf_spin_lock(&gl); struct bpf_rb_node *n = bpf_rbtree_root(&root); if (n) { k = container_of_(n, struct nd, r)->key; n = bpf_rbtree_left(&root, n); if (n) k += container_of_(n, struct nd, r)->key; } bpf_spin_unlock(&gl); return k; }",
  },
  {
    section: "tc",
    name: "rb_root_nolock",
    message: "bpf_spin_lock at off=0 must be held for bpf_rb_root",
    code: "int rb_root_nolock(struct __sk_buff *c) { struct bpf_rb_node *n = bpf_rbtree_root(&root); return n != 0; }",
  },
  {
    section: "tc",
    name: "rb_after",
    message: "R6 invalid mem access 'scalar'",
    code: "int rb_after(struct __sk_buff *c) { long k = 0; bpf_spin_lock(&gl); struct bpf_rb_node *n = bpf_rbtree_root(&root); bpf_spin_unlock(&gl); if (n) k = container_of_(n, struct nd, r)->key; return k; }",
  },
  {
    section: "tc",
    name: "rb_left_null",
    message: "dereference of modified ptr_or_null_ ptr R2 off=8 disallowed",
    code: "int rb_left_null(struct __sk_buff *c) { bpf_spin_lock(&gl); struct bpf_rb_node *n = bpf_rbtree_root(&root); n = bpf_rbtree_left(&root, n); bpf_spin_unlock(&gl); return 0; }",
  },
  {
    section: "tc",
    name: "rb_wrong_lock",
    message: "bpf_spin_lock at off=0 must be held for bpf_rb_root",
    code: "int rb_wrong_lock(struct __sk_buff *c) { bpf_spin_lock(&hl); struct bpf_rb_node *n = bpf_rbtree_root(&root); bpf_spin_unlock(&hl); return 0; }",
  },
  {
    section: "tc",
    name: "rb_add",
    message: "",
    code: "int rb_add(struct __sk_buff *c) { struct nd *p = NEW(struct nd); if (!p) return 0; p->key = 1; bpf_spin_lock(&gl); bpf_rbtree_add_impl(&root, &p->r, less, 0, 0); p->key++; bpf_spin_unlock(&gl); return 0; }",
  },
  {
    section: "tc",
    name: "rb_add_use",
    message: "R6 invalid mem access 'scalar'",
    code: "int rb_add_use(struct __sk_buff *c) { struct nd *p = NEW(struct nd); if (!p) return 0; bpf_spin_lock(&gl); bpf_rbtree_add_impl(&root, &p->r, less, 0, 0); bpf_spin_unlock(&gl); return p->key; }",
  },
  {
    section: "tc",
    name: "rb_add_unlock",
    message: "can't spin_{lock,unlock} in rbtree cb",
    code: "int rb_add_unlock(struct __sk_buff *c) { struct nd *p = NEW(struct nd); if (!p) return 0; bpf_spin_lock(&gl); bpf_rbtree_add_impl(&root, &p->r, less_unlock, 0, 0); bpf_spin_unlock(&gl); return 0; }",
  },
  {
    section: "tc",
    name: "rb_add_left",
    message: "bpf_rbtree_left not allowed in rbtree cb",
    code: "int rb_add_left(struct __sk_buff *c) { struct nd *p = NEW(struct nd); if (!p) return 0; bpf_spin_lock(&gl); bpf_rbtree_add_impl(&root, &p->r, less_left, 0, 0); bpf_spin_unlock(&gl); return 0; }",
  },
  {
    section: "tc",
    name: "rb_left_owned",
    message: "",
    code: "int rb_left_owned(struct __sk_buff *c) { struct nd *p = NEW(struct nd); if (!p) return 0; bpf_spin_lock(&gl); bpf_rbtree_left(&root, &p->r); bpf_spin_unlock(&gl); bpf_obj_drop_impl(p, 0); return 0; }",
  },
  {
    section: "tc",
    name: "rb_remove_owned",
    message: "",
    code: "int rb_remove_owned(struct __sk_buff *c) { struct nd *p = NEW(struct nd); if (!p) return 0; bpf_spin_lock(&gl); struct bpf_rb_node *n = bpf_rbtree_remove(&root, &p->r); bpf_spin_unlock(&gl); if (n) bpf_obj_drop_impl(container_of_(n, struct nd, r), 0); bpf_obj_drop_impl(p, 0); return 0; }",
  },
  {
    section: "tc",
    name: "rb_leak",
    message: "BPF_EXIT instruction in main prog would lead to reference leak",
    code: "int rb_leak(struct __sk_buff *c) { bpf_spin_lock(&gl); struct bpf_rb_node *n = bpf_rbtree_first(&root); if (n) n = bpf_rbtree_remove(&root, n); bpf_spin_unlock(&gl); return 0; }",
  },
  {
    section: "tc",
    name: "rb_move",
    message: "",
    code: "int rb_move(struct __sk_buff *c) { bpf_spin_lock(&gl); struct bpf_rb_node *n = bpf_rbtree_first(&root); if (n) { n = bpf_rbtree_right(&root, n); if (n) { n = bpf_rbtree_remove(&root, n); } } bpf_spin_unlock(&gl); if (n) bpf_obj_drop_impl(container_of_(n, struct nd, r), 0); return 0; }",
  },
  {
    section: "tc",
    name: "rs_add",
    message: "map '.data.E' has no valid bpf_res_spin_lock",
    code: "int rs_add(struct __sk_buff *c) { struct rcobj *p = NEW(struct rcobj), *q; if (!p) return 0; q = bpf_refcount_acquire_impl(p, 0); if (bpf_res_spin_lock(&rl)) { bpf_obj_drop_impl(p, 0); bpf_obj_drop_impl(q, 0); return 0; } bpf_rbtree_add_impl(&rroot, &p->r, less_rc, 0, 0); bpf_res_spin_unlock(&rl); bpf_obj_drop_impl(q, 0); return 0; }",
  },
  {
    section: "tc",
    name: "rs_add_use",
    message: "map '.data.E' has no valid bpf_res_spin_lock",
    code: "int rs_add_use(struct __sk_buff *c) { struct rcobj *p = NEW(struct rcobj); long k; if (!p) return 0; if (bpf_res_spin_lock(&rl)) { bpf_obj_drop_impl(p, 0); return 0; } bpf_rbtree_add_impl(&rroot, &p->r, less_rc, 0, 0); bpf_res_spin_unlock(&rl); return p->key; }",
  },
  {
    section: "tc",
    name: "rs_leak_q",
    message: "BPF_EXIT instruction in main prog would lead to reference leak",
    code: "int rs_leak_q(struct __sk_buff *c) { struct rcobj *p = NEW(struct rcobj), *q; if (!p) return 0; q = bpf_refcount_acquire_impl(p, 0); bpf_obj_drop_impl(p, 0); return q->key; }",
  },
  {
    section: "tc",
    name: "list_front_ok",
    message: "",
    code: "int list_front_ok(struct __sk_buff *c) { long k = 0; bpf_spin_lock(&hl); struct bpf_list_node *n = bpf_list_front(&head); if (n) k = container_of_(n, struct ln, n)->key; bpf_spin_unlock(&hl); return k; }",
  },
  {
    section: "tc",
    name: "list_front_drop",
    message: "function calls are not allowed while holding a lock",
    code: "int list_front_drop(struct __sk_buff *c) { bpf_spin_lock(&hl); struct bpf_list_node *n = bpf_list_back(&head); if (n) bpf_obj_drop_impl(container_of_(n, struct ln, n), 0); bpf_spin_unlock(&hl); return 0; }",
  },
  {
    section: "tc",
    name: "list_front_push",
    message: "arg#1 expected pointer to allocated object",
    code: "int list_front_push(struct __sk_buff *c) { bpf_spin_lock(&hl); struct bpf_list_node *n = bpf_list_front(&head); if (n) bpf_list_push_back_impl(&head, n, 0, 0); bpf_spin_unlock(&hl); return 0; }",
  },
  {
    section: "tc",
    name: "list_after",
    message: "R6 invalid mem access 'scalar'",
    code: "int list_after(struct __sk_buff *c) { long k = 0; bpf_spin_lock(&hl); struct bpf_list_node *n = bpf_list_front(&head); bpf_spin_unlock(&hl); if (n) k = container_of_(n, struct ln, n)->key; return k; }",
  },
  {
    section: "tc",
    name: "list_pop",
    message: "",
    code: "int list_pop(struct __sk_buff *c) { bpf_spin_lock(&hl); struct bpf_list_node *n = bpf_list_pop_front(&head); bpf_spin_unlock(&hl); if (n) bpf_obj_drop_impl(container_of_(n, struct ln, n), 0); return 0; }",
  },
  {
    section: "tc",
    name: "list_new_locked",
    message: "function calls are not allowed while holding a lock",
    code: "int list_new_locked(struct __sk_buff *c) { bpf_spin_lock(&hl); struct ln *p = NEW(struct ln); bpf_spin_unlock(&hl); if (p) bpf_obj_drop_impl(p, 0); return 0; }",
  },
  {
    section: "tc",
    name: "irq_lock_cross",
    message: "irq flag acquired by native kfuncs cannot be restored with lock kfuncs",
    code: "int irq_lock_cross(struct __sk_buff *c) { unsigned long f, g; bpf_local_irq_save(&g); if (bpf_res_spin_lock_irqsave(&la, &f)) { bpf_local_irq_restore(&g); return 1; } bpf_res_spin_unlock_irqrestore(&la, &g); bpf_local_irq_restore(&f); return 0; }",
  },
  {
    section: "tc",
    name: "irq_lock_leak",
    message: "bpf_res_spin_unlock of different lock",
    code: "int irq_lock_leak(struct __sk_buff *c) { unsigned long f; if (!bpf_res_spin_lock_irqsave(&la, &f)) bpf_res_spin_unlock(&la); return 0; }",
  },
  {
    section: "tc",
    name: "irq_subprog",
    message: "",
    code: "int irq_subprog(struct __sk_buff *c) { unsigned long f; saver(&f); bpf_local_irq_restore(&f); return 0; }",
  },
  {
    section: "tc",
    name: "irq_global",
    message: "",
    code: "int irq_global(struct __sk_buff *c) { unsigned long f; int r; bpf_local_irq_save(&f); r = glob(c); bpf_local_irq_restore(&f); return r; }",
  },
  {
    section: "tc",
    name: "preempt_global",
    message: "",
    code: "int preempt_global(struct __sk_buff *c) { int r; bpf_preempt_disable(); r = glob(c); bpf_preempt_enable(); return r; }",
  },
  {
    section: "tc",
    name: "rcu_global",
    message: "",
    code: "int rcu_global(struct __sk_buff *c) { int r; bpf_rcu_read_lock(); r = glob(c); bpf_rcu_read_unlock(); return r; }",
  },
  {
    section: "tc",
    name: "res_global",
    message: "use static function instead",
    code: "int res_global(struct __sk_buff *c) { int r; if (bpf_res_spin_lock(&la)) return 0; r = glob(c); bpf_res_spin_unlock(&la); return r; }",
  },
  {
    section: "tc",
    name: "res_in_spin",
    message: "",
    code: "int res_in_spin(struct __sk_buff *c) { bpf_spin_lock(&gl); if (!bpf_res_spin_lock(&la)) bpf_res_spin_unlock(&la); bpf_spin_unlock(&gl); return 0; }",
  },
  {
    section: "tc",
    name: "spin_in_res",
    message: "function calls are not allowed while holding a lock",
    code: "int spin_in_res(struct __sk_buff *c) { if (bpf_res_spin_lock(&la)) return 0; bpf_spin_lock(&gl); bpf_spin_unlock(&gl); bpf_res_spin_unlock(&la); return 0; }",
  },
  {
    section: "tc",
    name: "res_map_same",
    message: "",
    code: "int res_map_same(struct __sk_buff *c) { int k = c->len & 3; struct val *v = bpf_map_lookup_elem(&arr, &k); struct val *w = bpf_map_lookup_elem(&arr, &k); if (!v || !w) return 0; if (bpf_res_spin_lock(&v->l)) return 0; if (!bpf_res_spin_lock(&w->l)) bpf_res_spin_unlock(&w->l); bpf_res_spin_unlock(&v->l); return 0; }",
  },
  {
    section: "tc",
    name: "res_map_var",
    message: "R1 doesn't have constant offset. bpf_res_spin_lock has to be at the constant offset",
    code: "int res_map_var(struct __sk_buff *c) { int k = c->len & 3; struct val *v = bpf_map_lookup_elem(&arr, &k); if (!v) return 0; if (bpf_res_spin_lock((void *)v + (c->len & 4))) return 0; bpf_res_spin_unlock(&v->l); return 0; }",
  },
  {
    section: "tc",
    name: "res_map_write",
    message: "bpf_res_spin_lock cannot be accessed directly by load/store",
    code: "int res_map_write(struct __sk_buff *c) { int k = c->len & 3; struct val *v = bpf_map_lookup_elem(&arr, &k); if (!v) return 0; *(volatile int *)&v->l = 1; return 0; }",
  },
  {
    section: "tc",
    name: "res_off",
    message: "off 8 doesn't point to 'struct bpf_res_spin_lock' that is at 0",
    code: "int res_off(struct __sk_buff *c) { int k = c->len & 3; struct val *v = bpf_map_lookup_elem(&arr, &k); if (!v) return 0; if (bpf_res_spin_lock((void *)&v->x)) return 0; return 0; }",
  },
];
