// Go's crypto/tls: clients, a server, and a server of datagrams. Speaks the lines of
// benchmarks/lab/worker.py, and offers the deeds of benchmarks/peers/__init__.py.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
)

// A request has the arguments of all deeds; those of others are zero.
type request struct {
	Do, Way             string
	Port, Count, Amount int
	Piece, Size, Writes int
}

type result map[string]interface{}

var client, resuming, server *tls.Config

func fail(err error) {
	if err != nil {
		panic(err)
	}
}

func cpu() float64 {
	var usage syscall.Rusage
	fail(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func measured(work func()) result {
	before, began := cpu(), time.Now()
	work()
	return result{"cpu": cpu() - before, "elapsed": time.Since(began).Seconds()}
}

func opened(port int, config *tls.Config) *tls.Conn {
	connection, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), config)
	fail(err)
	fail(connection.SetDeadline(time.Now().Add(30 * time.Second)))
	return connection
}

func sent(connection net.Conn, data []byte) {
	_, err := connection.Write(data)
	fail(err)
}

func received(connection net.Conn, buffer []byte, amount int) {
	for amount > 0 {
		size := len(buffer)
		if amount < size {
			size = amount
		}
		count, err := connection.Read(buffer[:size])
		fail(err)
		amount -= count
	}
}

func connect(r request) result {
	config, buffer := client, make([]byte, 64)
	if r.Way == "resumed" {
		config = resuming
	}
	return measured(func() {
		for i := 0; i < r.Count; i++ {
			connection := opened(r.Port, config)
			sent(connection, []byte("hello"))
			received(connection, buffer, 5)
			connection.Close()
		}
	})
}

func upgrade(r request) result {
	buffer := make([]byte, 1024)
	return measured(func() {
		for i := 0; i < r.Count; i++ {
			plain, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.Port))
			fail(err)
			fail(plain.SetDeadline(time.Now().Add(30 * time.Second)))
			for _, line := range []string{"", "EHLO client\r\n", "STARTTLS\r\n"} {
				sent(plain, []byte(line))
				_, err := plain.Read(buffer)
				fail(err)
			}
			connection := tls.Client(plain, client)
			sent(connection, []byte("hello"))
			received(connection, buffer, 5)
			connection.Close()
		}
	})
}

func send(r request) result {
	connection, data := opened(r.Port, client), make([]byte, r.Piece)
	defer connection.Close()
	return measured(func() {
		for i := 0; i < r.Amount/r.Piece; i++ {
			sent(connection, data)
		}
		received(connection, data, 1)
	})
}

func receive(r request) result {
	connection, buffer := opened(r.Port, client), make([]byte, 65536)
	defer connection.Close()
	return measured(func() {
		sent(connection, []byte("x"))
		received(connection, buffer, r.Amount)
	})
}

func pingpong(r request) result {
	connection, data := opened(r.Port, client), make([]byte, r.Size)
	defer connection.Close()
	return measured(func() {
		for i := 0; i < r.Count; i++ {
			sent(connection, data)
			received(connection, data, r.Size)
		}
	})
}

func bursts(r request) result {
	connection, data := opened(r.Port, client), make([]byte, r.Size)
	defer connection.Close()
	return measured(func() {
		for i := 0; i < r.Count; i++ {
			for j := 0; j < r.Writes; j++ {
				sent(connection, data)
			}
			received(connection, data, 1)
		}
	})
}

func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, 16384)
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func listen(r request) result {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	fail(err)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go echo(connection)
		}
	}()
	return result{"port": listener.Addr().(*net.TCPAddr).Port}
}

func datagrams(r request) result {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	fail(err)
	go func() {
		buffer := make([]byte, 65536)
		for {
			count, address, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			socket.WriteTo(buffer[:count], address)
		}
	}()
	return result{"port": socket.LocalAddr().(*net.UDPAddr).Port}
}

func memory(request) result {
	runtime.GC()
	var total, resident int
	file, err := os.Open("/proc/self/statm")
	fail(err)
	defer file.Close()
	_, err = fmt.Fscan(file, &total, &resident)
	fail(err)
	return result{"bytes": resident * os.Getpagesize()}
}

var deeds = map[string]func(request) result{
	"usage":   func(request) result { return result{"cpu": cpu()} },
	"memory":  memory,
	"connect": connect, "upgrade": upgrade, "send": send, "receive": receive,
	"pingpong": pingpong, "bursts": bursts, "listen": listen, "datagrams": datagrams,
}

func done(r request) (answer result) {
	defer func() {
		if problem := recover(); problem != nil {
			answer = result{"error": fmt.Sprint(problem)}
		}
	}()
	return deeds[r.Do](r)
}

func configure(folder string) {
	pem, err := os.ReadFile(folder + "/ca.pem")
	fail(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client = &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}
	resuming = client.Clone()
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(16)
	certificate, err := tls.LoadX509KeyPair(folder+"/site.pem", folder+"/site.pem")
	fail(err)
	server = &tls.Config{Certificates: []tls.Certificate{certificate}}
}

func main() {
	configure(os.Args[1])
	names := []string{}
	for name := range deeds {
		names = append(names, name)
	}
	out := json.NewEncoder(os.Stdout)
	fail(out.Encode(result{"deeds": names, "library": runtime.Version() + ", crypto/tls"}))
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		fail(err)
		var r request
		fail(json.Unmarshal(line, &r))
		fail(out.Encode(done(r)))
	}
}
