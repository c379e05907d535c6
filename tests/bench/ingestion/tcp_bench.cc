// Syslog over TCP as a whole: our listener with framing, parsing, normalising and batching, into a
// real redis-server with AOF. Time ends when the last line is in the streams. Sender and Redis run
// on the same machine.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "common/metrics/metrics.h"
#include "common/redis/pool.h"
#include "common/stream/producer.h"
#include "common/testing/fortigate_lines.h"
#include "common/testing/process.h"
#include "common/testing/redis_server.h"
#include "services/ingestion/domain/quarantine.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/workers/current_sources.h"
#include "services/ingestion/workers/listener.h"
#include "yagura/directory/v1/source.pb.h"

namespace {

using namespace yagura;             // NOLINT(google-build-using-namespace)
using namespace yagura::ingestion;  // NOLINT(google-build-using-namespace)

constexpr int kLines = 300'000;

void SendAll(const std::string& address, const std::string& bytes) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&place), sizeof place) != 0) std::abort();
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t sent = ::send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) std::abort();
    at += static_cast<size_t>(sent);
  }
  ::close(fd);
}

void BM_TcpToFlowRedis(benchmark::State& state) {
  std::string text;
  yagura::testing::FortigateLines source;
  for (int i = 0; i < kLines; ++i) text += source.Next() + "\n";
  const auto folder = yagura::testing::MakeTemporaryFolder();
  for (auto step : state) {
    state.PauseTiming();
    yagura::testing::RedisServer redis;
    const auto pool = redis.NewPool();
    const stream::Topic topic{"events", 4, {"archive"}};
    auto registry = std::make_shared<MetricsRegistry>();
    ListenerParts parts{{}, {}, {}, {}, {}, {}, {}, Logger::Null()};
    parts.instance = "bench";
    parts.sources = std::make_shared<CurrentSources>();
    parts.quarantine = std::make_shared<Quarantine>();
    parts.metrics = std::make_shared<IngestionMetrics>(registry);
    parts.clock = SystemClock();
    directory::v1::Source fw;
    fw.set_name("tenants/acme/sources/fw");
    fw.mutable_match()->set_cidr("127.0.0.0/8");
    parts.sources->Set(SourceMap::Build({fw}, {}, nullptr));
    parts.sink = std::make_shared<BatchSink>(
        std::make_shared<stream::Producer>(pool, topic, stream::Producer::Options{}),
        Spool::Open(folder / "spool", 1 << 30).value(), parts.metrics, Logger::Null());
    parts.sink->Start();
    ListenerOptions options;
    options.name = "syslog_tcp";
    options.address = "127.0.0.1:0";
    auto listener = MakeTcpListener(options, parts).value();
    listener->Start();
    auto* delivered = registry->GetCounter("yagura_ingestion_delivered_lines_total",
                                           "Lines that reached the event streams at once",
                                           {{"tenant", "acme"}, {"source", "fw"}});
    state.ResumeTiming();
    SendAll(listener->address(), text);
    while (delivered->Value() < kLines) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    state.PauseTiming();
    listener.reset();
    state.ResumeTiming();
  }
  std::filesystem::remove_all(folder);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * kLines);
}
BENCHMARK(BM_TcpToFlowRedis)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(5);

}  // namespace

BENCHMARK_MAIN();
