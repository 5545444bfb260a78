package influx

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/walkd/walkd/internal/walking"
)

var asKeysets = cmp.AllowUnexported(series{})

func every(from, step int64, n int) (out []int64) {
	for i := range int64(n) {
		out = append(out, from+i*step)
	}
	return out
}

func TestKeysAreSmall(t *testing.T) {
	const day = walking.Day(20000)
	runs := []int64{}
	for h := range int64(16) {
		runs = append(runs, every(start(day)+3600*h, 60, 20)...)
	}
	for _, tt := range []struct {
		name string
		k    keyset
		most int
	}{
		{"nothing", nil, 0},
		{"nothing in a series", keyset{{a: "watch"}}, 0},
		{"midnight", keyset{{times: []int64{start(day)}}}, 8},
		{"1440 minutes", keyset{{times: every(start(day), 60, 1440)}}, 10},
		{"1440 minutes far west", keyset{{times: every(start(day)+9*3600, 60, 1440)}}, 12},
		{"96 quarters of two origins", keyset{
			{"watch", "", every(start(day), 900, 96)}, {"phone", "com.example.steps", every(start(day), 900, 96)},
		}, 48},
		{"16 walks", keyset{{times: runs}}, 56},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := appendKeys(nil, tt.k, day)
			if len(b) > tt.most {
				t.Errorf("%d bytes, want at most %d", len(b), tt.most)
			}
			got, err := decodeKeys(b, day)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.DeleteFunc(slices.Clone(tt.k), func(s series) bool { return len(s.times) == 0 })
			if d := cmp.Diff([]series(want), []series(got), asKeysets); d != "" && len(want)+len(got) > 0 {
				t.Errorf("read back (-want +got):\n%s", d)
			}
		})
	}
}

func genKeyset(t *rapid.T) keyset {
	var k keyset
	for i := range rapid.IntRange(0, 3).Draw(t, "series") {
		s := k.open([]string{"watch", "phone", ""}[i], rapid.SampledFrom([]string{"", "app"}).Draw(t, "b"))
		s.times = append(s.times, rapid.SliceOfN(rapid.Int64Range(20000*86400, 20000*86400+40), 1, 20).Draw(t, "times")...)
	}
	k.normalize()
	return k
}

func TestKeysetAlgebra(t *testing.T) {
	const day = walking.Day(20000)
	rapid.Check(t, func(t *rapid.T) {
		a, b := genKeyset(t), genKeyset(t)
		for _, k := range []keyset{a, b, a.or(b), a.minus(b), a.and(b)} {
			got, err := decodeKeys(appendKeys(nil, k, day), day)
			if err != nil || len(got.minus(k))+len(k.minus(got)) > 0 {
				t.Fatalf("%v became %v, error %v", k, got, err)
			}
		}
		if a.or(b).size() != a.size()+b.size()-a.and(b).size() || a.minus(b).size() != a.size()-a.and(b).size() {
			t.Fatalf("%v and %v do not add up", a, b)
		}
	})
}

func TestKeysOfAnotherVersion(t *testing.T) {
	if _, err := decodeKeys([]byte{2, 0}, 0); err == nil {
		t.Error("keys of a version that is not known were read")
	}
}

func FuzzDecodeKeys(f *testing.F) {
	const day = walking.Day(20000)
	f.Add([]byte{})
	f.Add(appendKeys(nil, keyset{{times: every(start(day), 60, 1440)}}, day))
	f.Add(appendKeys(nil, keyset{{"watch", "app", []int64{start(day) + 3, start(day) + 11}}, {a: "x", times: []int64{0}}}, day))
	f.Add([]byte{1, 1, 0, 0, 1, 0, 1, 1, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeKeys(b, day)
		if err != nil {
			return
		}
		for _, s := range k {
			for i := 1; i < len(s.times); i++ {
				if s.times[i] <= s.times[i-1] {
					t.Fatal("times are not in order")
				}
			}
		}
		again, err := decodeKeys(appendKeys(nil, k, day), day)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(k, again, func(a, b series) bool {
			return a.a == b.a && a.b == b.b && slices.Equal(a.times, b.times)
		}) {
			t.Fatal("written again it reads differently")
		}
	})
}
