<?php
// PHP's streams, blocking: clients, and a server of datagrams. Speaks the lines of
// benchmarks/lab/worker.py, and offers the deeds of benchmarks/peers/__init__.py.

declare(strict_types=1);

const READ = 65536;
$folder = $argv[1];
$tls = ['ssl' => ['cafile' => "$folder/ca.pem", 'peer_name' => 'localhost']];
$datagrams = null;

function cpu(): float
{
    $usage = getrusage();
    return $usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']
        + ($usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec']) / 1e6;
}

function measured(callable $work): array
{
    [$cpu, $clock] = [cpu(), hrtime(true)];
    $work();
    return ['cpu' => cpu() - $cpu, 'elapsed' => (hrtime(true) - $clock) / 1e9];
}

function opened(string $scheme, int $port, array $options)
{
    $options['socket'] = ['tcp_nodelay' => true];
    $stream = stream_socket_client(
        "$scheme://127.0.0.1:$port", $code, $text, 30, STREAM_CLIENT_CONNECT,
        stream_context_create($options)
    );
    if (!$stream) {
        throw new RuntimeException("connecting failed: $text");
    }
    stream_set_timeout($stream, 30);
    return $stream;
}

function sent($stream, string $data): void
{
    for ($done = 0; $done < strlen($data);) {
        $count = fwrite($stream, $done ? substr($data, $done) : $data);
        if (!$count) {
            throw new RuntimeException('nothing was written');
        }
        $done += $count;
    }
}

function received($stream, int $amount): void
{
    while ($amount > 0) {
        $data = fread($stream, min(READ, $amount));
        if ($data === false || $data === '') {
            throw new RuntimeException('nothing was read');
        }
        $amount -= strlen($data);
    }
}

$deeds = [
    'usage' => fn() => ['cpu' => cpu()],
    'connect' => fn($port, $count, $way = '') => measured(function () use ($port, $count, $tls) {
        for ($i = 0; $i < $count; $i++) {
            $stream = opened('tls', $port, $tls);
            sent($stream, 'hello');
            received($stream, 5);
            fclose($stream);
        }
    }),
    'upgrade' => fn($port, $count, $way = '') => measured(function () use ($port, $count, $tls) {
        for ($i = 0; $i < $count; $i++) {
            $stream = opened('tcp', $port, $tls);
            fgets($stream);
            fwrite($stream, "EHLO client\r\n");
            fgets($stream);
            fgets($stream);
            fwrite($stream, "STARTTLS\r\n");
            fgets($stream);
            if (!stream_socket_enable_crypto($stream, true, STREAM_CRYPTO_METHOD_TLS_CLIENT)) {
                throw new RuntimeException('no TLS');
            }
            sent($stream, 'hello');
            received($stream, 5);
            fclose($stream);
        }
    }),
    'send' => function ($port, $amount, $piece) use ($tls) {
        $stream = opened('tls', $port, $tls);
        $data = str_repeat("\0", $piece);
        return measured(function () use ($stream, $data, $amount, $piece) {
            for ($i = 0; $i < intdiv($amount, $piece); $i++) {
                sent($stream, $data);
            }
            received($stream, 1);
        });
    },
    'receive' => function ($port, $amount) use ($tls) {
        $stream = opened('tls', $port, $tls);
        stream_set_chunk_size($stream, READ);
        return measured(function () use ($stream, $amount) {
            sent($stream, 'x');
            received($stream, $amount);
        });
    },
    'pingpong' => function ($port, $count, $size) use ($tls) {
        $stream = opened('tls', $port, $tls);
        $data = str_repeat("\0", $size);
        return measured(function () use ($stream, $data, $count, $size) {
            for ($i = 0; $i < $count; $i++) {
                sent($stream, $data);
                received($stream, $size);
            }
        });
    },
    'bursts' => function ($port, $count, $writes, $size) use ($tls) {
        $stream = opened('tls', $port, $tls);
        $data = str_repeat("\0", $size);
        return measured(function () use ($stream, $data, $count, $writes) {
            for ($i = 0; $i < $count; $i++) {
                for ($j = 0; $j < $writes; $j++) {
                    sent($stream, $data);
                }
                received($stream, 1);
            }
        });
    },
    'datagrams' => function () use (&$datagrams) {
        $datagrams = stream_socket_server('udp://127.0.0.1:0', $code, $text, STREAM_SERVER_BIND);
        return ['port' => (int) substr(strrchr(stream_socket_get_name($datagrams, false), ':'), 1)];
    },
];

function answer(array $result): void
{
    echo json_encode($result), "\n";
}

$openssl = implode(' ', array_slice(explode(' ', OPENSSL_VERSION_TEXT), 0, 2));
answer(['deeds' => array_keys($deeds), 'library' => 'PHP ' . PHP_VERSION . ", $openssl"]);
while (true) {
    $ready = array_filter([STDIN, $datagrams]);
    $none = null;
    stream_select($ready, $none, $none, null);
    if ($datagrams && in_array($datagrams, $ready, true)) {
        $data = stream_socket_recvfrom($datagrams, READ, 0, $client);
        stream_socket_sendto($datagrams, $data, 0, $client);
    }
    if (in_array(STDIN, $ready, true)) {
        $line = fgets(STDIN);
        if ($line === false) {
            break;
        }
        $request = json_decode($line, true);
        $do = $request['do'];
        unset($request['do']);
        try {
            answer($deeds[$do](...$request));
        } catch (Throwable $error) {
            answer(['error' => $error->getMessage()]);
        }
    }
}
