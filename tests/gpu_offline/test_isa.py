"""Holds isa.py and targets.py against planted listings of each maker, whose counts are known by hand."""
import unittest

from isa import Counts, hot_loop, loops, parse_amd, parse_intel, parse_sass
from targets import TARGETS, bounds, nvidia_occupancy

AMD = """
other:                                  ; @other
; %bb.0:
	v_fma_f32 v0, v1, v2, v3
.Lfunc_end0:
	.size	other, .Lfunc_end0-other
forward_7:                              ; @forward_7
; %bb.0:
	s_load_dword s0, s[4:5], 0x0
	v_mov_b32_e32 v9, 0
.LBB1_1:                                ; =>This Loop Header: Depth=1
	s_barrier
	ds_write_b128 v1, v[4:7]
	global_load_dwordx4 v[4:7], v[0:1], off
	s_add_u32 s2, s2, 16
.LBB1_2:                                ;   Parent Loop BB1_1 Depth=1
	ds_read_b128 v[2:5], v1 offset:16
	ds_read2_b32 v[6:7], v1 offset0:1 offset1:2
	s_waitcnt lgkmcnt(0)
	v_fmac_f32_e32 v8, v2, v6
	v_dual_fmac_f32 v9, v3, v7 :: v_dual_fmac_f32 v10, v4, v6
	v_dual_fmac_f32 v11, v3, v7 :: v_dual_mov_b32 v12, v4
	v_add_nc_u32_e32 v1, 64, v1
	s_cbranch_scc0 .LBB1_2
; %bb.3:
	s_cbranch_scc0 .LBB1_1
; %bb.4:
	global_store_dword v[0:1], v8, off
	s_endpgm
.Lfunc_end1:
"""

SASS = """
	.section	.text.forward_7,"ax",@progbits
.text.forward_7:
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   LDS.128 R4, [R1] ;
        /*0020*/                   LDS R8, [R1+0x10] ;
        /*0030*/              @!P0 LDG.E.128.CONSTANT R12, [R2.64] ;
        /*0040*/                   FFMA R9, R4, R8, R9 ;
        /*0050*/                   FFMA R10, R5, R8.reuse, R10 ;
        /*0060*/                   UIADD3 UR4, UR4, 0x1, URZ ;
        /*0070*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;
        /*0080*/               @P1 BRA `(.L_x_1) ;
        /*0090*/                   EXIT ;
.L_x_2:
        /*00a0*/                   BRA `(.L_x_2);
        /*00b0*/                   NOP;
"""

INTEL = """
L0:
(W)     mov (8|M0)               r2.0<1>:ud    r0.0<1;1,0>:ud                   {Compacted}
L16:
        send (8|M0)              r2:f     r2      0xC            0x02406EFE           // wr:1+0, rd:4; hdc.dc1; untyped surface read with xyzw
        send (8|M0)              r2:f     r2      0xC            0x02406001           // wr:1+0, rd:4; hdc.dc1; untyped surface read with xyzw
        mad (8|M0)               r82.0<1>:f    r82.0<2;1>:f      r6.0<2;1>:f       r14.0<1>:f       {Compacted}
        mad (16|M0)              r82.0<1>:f    r82.0<2;1>:f      r6.0<2;1>:f       r14.0<1>:f       {Compacted}
        mad (8|M0)               r3.0<1>:d     r3.0<1;0>:d       r4.0<1;0>:d       -49:w               {I@1}
        sync.nop                             null                             {Compacted,$3.dst}
(W)     add (1|M0)               r9.0<1>:d     r9.0<0;1,0>:d     4:w
        while (8|M0)                         L16
L200:
(W)     send (8|M0)              null     r127    0x27            0x02000010           {EOT} // wr:1+0, rd:0; spawner; end of thread
"""

TARGET = {target.name: target for target in TARGETS}


class Listings(unittest.TestCase):
    def test_amd(self):
        items = parse_amd(AMD)["forward_7"]
        self.assertEqual(len(loops(items)), 2)
        inner = hot_loop(items)
        self.assertEqual(inner, {"local": 2, "local_bytes": 24, "fma": 3, "fmas": 4, "vector": 1, "branch": 1, "free": 1})
        self.assertEqual(inner.issued, 7)
        self.assertAlmostEqual(inner.fma_share, 3 / 7)
        self.assertEqual(hot_loop(parse_amd(AMD)["other"]), None)

    def test_rounds_of_the_inner_loop(self):
        """16 multiply-adds a round of the outer loop are 4 rounds of the inner one."""
        whole = hot_loop(parse_amd(AMD)["forward_7"], 16)
        self.assertEqual(whole["fmas"], 16)
        self.assertEqual((whole["local"], whole["local_bytes"]), (4 * 2 + 1, 4 * 24 + 16))
        self.assertEqual((whole["barrier"], whole["global"], whole["scalar"], whole["branch"]), (1, 1, 1, 5))

    def test_nvidia(self):
        loop = hot_loop(parse_sass(SASS)["forward_7"])
        self.assertEqual(loop, {"local": 2, "local_bytes": 20, "global": 1, "fma": 2, "fmas": 2, "scalar": 1, "barrier": 1, "branch": 1})

    def test_intel(self):
        loop = hot_loop(parse_intel(INTEL))
        self.assertEqual(loop, {"local": 1, "local_bytes": 16, "global": 1, "fma": 3, "fmas": 3, "vector": 1, "scalar": 1, "branch": 1, "free": 1})


class Bounds(unittest.TestCase):
    LOOP = Counts(fma=60, fmas=60, vector=15, scalar=5, local=20, local_bytes=80)

    def test_what_else_takes_slots(self):
        self.assertAlmostEqual(bounds(TARGET["gfx1030"], self.LOOP, 0, 0)["issue"], 60 / 75)
        self.assertAlmostEqual(bounds(TARGET["sm_86"], self.LOOP, 0, 0)["issue"], 60 / 100)
        self.assertAlmostEqual(bounds(TARGET["sm_75"], self.LOOP, 0, 0)["issue"], 1)
        self.assertAlmostEqual(bounds(TARGET["gfx1100"], self.LOOP, 0, 0)["issue"], 60 / 150)

    def test_local_memory(self):
        self.assertAlmostEqual(bounds(TARGET["sm_86"], self.LOOP, 0, 0)["local"], 60 / 80)
        self.assertAlmostEqual(bounds(TARGET["gfx1030"], self.LOOP, 0, 0)["local"], 1)

    def test_bandwidth(self):
        """35.6 TFLOP/s and 936 GB/s: a byte has to be worth 38 operations."""
        self.assertAlmostEqual(bounds(TARGET["sm_86"], None, 19e9, 1e9)["bandwidth"], 19 * 936 / 35600)
        self.assertEqual(bounds(TARGET["sm_86"], None, 0, 1e9), {})

    def test_occupancy(self):
        """128 registers: 4 waves of each scheduler; of 100 KiB of local memory 33 KiB for each group leave 3 groups."""
        self.assertEqual(nvidia_occupancy(TARGET["sm_86"], 128, 0, 256), 4)
        self.assertEqual(nvidia_occupancy(TARGET["sm_86"], 40, 32768, 128), 3)
        self.assertEqual(nvidia_occupancy(TARGET["sm_86"], 16, 0, 32), 12)


if __name__ == "__main__":
    unittest.main()
