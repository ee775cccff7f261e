// Writes a heap profile of a shop that keeps every fifth order.
package main

import (
	"os"
	"runtime"
	"runtime/pprof"
)

type order struct{ lines [][]byte }

var kept []*order

//go:noinline
func newOrder(lines, size int) *order {
	o := &order{}
	for i := 0; i < lines; i++ {
		o.lines = append(o.lines, make([]byte, size))
	}
	return o
}

func (o *order) drop(n int) { o.lines = o.lines[n:] }

func handle(i int) {
	o := newOrder(4, 512+i%3*1024)
	if i%5 == 0 {
		kept = append(kept, o)
	} else {
		o.drop(2)
	}
}

func main() {
	runtime.MemProfileRate = 4096
	for i := 0; i < 400; i++ {
		handle(i)
	}
	runtime.GC()
	f, err := os.Create(os.Args[1])
	if err != nil {
		panic(err)
	}
	if err := pprof.Lookup("heap").WriteTo(f, 0); err != nil {
		panic(err)
	}
	f.Close()
}
