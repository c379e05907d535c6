// Requests of senders that wait for an answer: OTLP over gRPC, HEC over HTTP and HTTPS. The servers
// of yagura-ingestion with all behind them (key, records, parsing, normalising, batching) into a
// real redis-server with AOF; time ends when the last request is answered, which is when Redis has
// its lines. The same FortiGate lines as over TCP (tcp_bench.cc), 1,000 a request, and records of
// an application as OpenTelemetry has them (a text with attributes, 300 bytes); four connections
// with one request each on its way. The sender is a process of its own and has its requests ready
// before time begins; it and Redis run on the same machine. `lines_a_cpu_second` is by the CPU time
// of the server's process alone.
#include <benchmark/benchmark.h>
#include <curl/curl.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/byte_buffer.h"

#include "common/metrics/metrics.h"
#include "common/redis/pool.h"
#include "common/stream/producer.h"
#include "common/testing/eventually.h"
#include "common/testing/fortigate_lines.h"
#include "common/testing/process.h"
#include "common/testing/redis_server.h"
#include "common/text/text.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "services/ingestion/api/http_intake.h"
#include "services/ingestion/api/http_tls.h"
#include "services/ingestion/api/otlp_server.h"
#include "services/ingestion/domain/quarantine.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/workers/current_sources.h"
#include "services/ingestion/workers/listener.h"
#include "tests/integration/ingestion/test_certificates.h"
#include "yagura/directory/v1/source.pb.h"

namespace {

using namespace yagura;             // NOLINT(google-build-using-namespace)
using namespace yagura::ingestion;  // NOLINT(google-build-using-namespace)

constexpr int kLines = 200'000;
constexpr int kLinesARequest = 1'000;
constexpr size_t kConnections = 4;
constexpr char kKey[] = "ygr_acme_bench_good";

using Requests = std::array<std::vector<std::string>, kConnections>;

void Must(bool holds) {
  if (!holds) std::abort();
}

std::string OtlpRequest(const std::vector<std::string>& lines) {
  opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest request;
  auto& resource = *request.add_resource_logs();
  auto& host = *resource.mutable_resource()->add_attributes();
  host.set_key("host.name");
  host.mutable_value()->set_string_value("collector-1");
  auto& scope = *resource.add_scope_logs();
  for (const std::string& line : lines) {
    auto& record = *scope.add_log_records();
    record.set_observed_time_unix_nano(1'790'000'000'000'000'000);
    record.mutable_body()->set_string_value(line);
    auto& file = *record.add_attributes();
    file.set_key("log.file.name");
    file.mutable_value()->set_string_value("firewall.log");
  }
  return request.SerializeAsString();
}

// Records of a web application with attributes; `number` makes them different.
std::string OtlpRecords(uint64_t number) {
  opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest request;
  auto& resource = *request.add_resource_logs();
  auto& service = *resource.mutable_resource()->add_attributes();
  service.set_key("service.name");
  service.mutable_value()->set_string_value("orders");
  auto& scope = *resource.add_scope_logs();
  for (const uint64_t end = number + kLinesARequest; number < end; ++number) {
    auto& record = *scope.add_log_records();
    record.set_time_unix_nano(1'790'000'000'000'000'000 + number * 1'000'000);
    record.set_observed_time_unix_nano(record.time_unix_nano() + 250'000);
    record.set_severity_text("INFO");
    record.mutable_body()->set_string_value(fmt::format(
        "order {} of customer {} was accepted after {} ms by the payment service, zone jp-east-1",
        number, number * 7919 % 5'000, number % 97));
    const auto add = [&record](const char* key, const std::string& value) {
      auto& attribute = *record.add_attributes();
      attribute.set_key(key);
      attribute.mutable_value()->set_string_value(value);
    };
    add("http.request.method", number % 5 == 0 ? "POST" : "GET");
    add("url.path", fmt::format("/api/v1/orders/{}", number));
    add("client.address", fmt::format("198.51.100.{}", number % 250));
    add("server.address", fmt::format("10.1.9.{}", number % 8));
    add("enduser.id", fmt::format("customer-{}", number * 7919 % 5'000));
  }
  return request.SerializeAsString();
}

std::string HecRequest(const std::vector<std::string>& lines) {
  std::string body;
  for (const std::string& line : lines) {
    body += R"({"host":"collector-1","source":"firewall.log","event":)" + QuoteJson(line) + "}";
  }
  return body;
}

Requests RequestsOf(const std::string& how) {
  yagura::testing::FortigateLines source;
  Requests requests;
  for (int i = 0; i < kLines / kLinesARequest; ++i) {
    auto& connection = requests[static_cast<size_t>(i) % kConnections];
    if (how == "records") {
      connection.push_back(OtlpRecords(static_cast<uint64_t>(i) * kLinesARequest));
      continue;
    }
    std::vector<std::string> lines;
    for (int at = 0; at < kLinesARequest; ++at) lines.push_back(source.Next());
    connection.push_back(how == "otlp"  ? OtlpRequest(lines)
                         : how == "hec" ? HecRequest(lines)
                                        : Join(lines, "\n"));
  }
  return requests;
}

void SendOtlp(const std::string& address, const std::vector<std::string>& requests) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  grpc::GenericStub stub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  grpc::CompletionQueue queue;
  for (const std::string& request : requests) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", std::string("Bearer ") + kKey);
    const grpc::Slice slice(request.data(), request.size(), grpc::Slice::STATIC_SLICE);
    const auto call =
        stub.PrepareUnaryCall(&context, "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
                              grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    Must(queue.Next(&tag, &ok) && ok && status.ok());
    Must(answer.Length() == 0);  // no record was refused
  }
  queue.Shutdown();
}

size_t Ignore(char*, size_t size, size_t count, void*) { return size * count; }

void SendHttp(const std::string& url, const std::string& ca,
              const std::vector<std::string>& requests) {
  CURL* curl = curl_easy_init();
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");
  headers = curl_slist_append(headers, (std::string("Authorization: Splunk ") + kKey).c_str());
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_CAINFO, ca.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Ignore);
  for (const std::string& request : requests) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.data());
    Must(curl_easy_perform(curl) == CURLE_OK);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    Must(status == 200);
  }
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
}

void WaitFor(const std::filesystem::path& file) {
  Must(testing::Eventually([&] { return std::filesystem::exists(file); }));
}

// What the sender's process does. `how`: "otlp", "records", "hec", "raw".
int Send(const std::string& how, const std::string& address, const std::filesystem::path& folder) {
  curl_global_init(CURL_GLOBAL_ALL);
  const Requests requests = RequestsOf(how);
  const std::string url = address + "/services/collector/" + (how == "raw" ? "raw" : "event");
  std::ofstream(folder / "ready").flush();
  WaitFor(folder / "go");
  std::vector<std::thread> threads;
  for (const auto& part : requests) {
    threads.emplace_back([&] {
      if (how == "otlp" || how == "records") {
        SendOtlp(address, part);
      } else {
        SendHttp(url, (folder / "server.crt").string(), part);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

// Sink and keys as in yagura-ingestion, on a Redis of its own.
struct World {
  World() {
    parts.instance = "bench";
    parts.sources = std::make_shared<CurrentSources>();
    parts.quarantine = std::make_shared<Quarantine>();
    parts.metrics = std::make_shared<IngestionMetrics>(std::make_shared<MetricsRegistry>());
    parts.clock = SystemClock();
    directory::v1::Source fw;
    fw.set_name("tenants/acme/sources/fw");
    fw.mutable_match()->set_credential("tenants/acme/apiKeys/bench");
    parts.sources->Set(SourceMap::Build({fw}, {}, nullptr));
    parts.sink = std::make_shared<BatchSink>(
        std::make_shared<stream::Producer>(redis.NewPool(), stream::Topic{"events", 4, {"archive"}},
                                           stream::Producer::Options{}),
        Spool::Open(folder / "spool", 1 << 30).value(), parts.metrics, Logger::Null());
    parts.sink->Start();
    verifier->Trust("yagura", issuer.key().public_key());
    keys = std::make_shared<ApiKeys>(
        [this](const std::string&, const std::string&) -> absl::StatusOr<std::string> {
          auth::Principal principal;
          principal.name = "tenants/acme/apiKeys/bench";
          principal.grants = {{"collector", false, {"acme"}}};
          return issuer.Issue(principal, std::chrono::minutes(15));
        },
        verifier, SystemClock());
  }
  ~World() {
    parts.sink->Stop();
    std::filesystem::remove_all(folder);
  }

  const std::filesystem::path folder = yagura::testing::MakeTemporaryFolder();
  yagura::testing::RedisServer redis;
  ListenerParts parts{{}, {}, {}, {}, {}, {}, {}, Logger::Null()};
  auth::TokenIssuer issuer{auth::SigningKey::Generate(), "yagura", SystemClock()};
  std::shared_ptr<auth::TokenVerifier> verifier =
      std::make_shared<auth::TokenVerifier>(SystemClock());
  std::shared_ptr<ApiKeys> keys;
};

double CpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Starts a sender, and answers the CPU time of this process while it sent.
double TimeSender(benchmark::State& state, const World& world, const std::string& how,
                  const std::string& address) {
  yagura::testing::Process sender({"/proc/self/exe", "--send", how, address, world.folder.string()},
                                  world.folder / "log");
  WaitFor(world.folder / "ready");
  const double before = CpuSeconds();
  state.ResumeTiming();
  std::ofstream(world.folder / "go").flush();
  Must(sender.Wait() == 0);
  state.PauseTiming();
  return CpuSeconds() - before;
}

void Tell(benchmark::State& state, double cpu_seconds) {
  const double lines = static_cast<double>(state.iterations()) * kLines;
  state.SetItemsProcessed(static_cast<int64_t>(lines));
  state.counters["lines_a_cpu_second"] = lines / cpu_seconds;
}

void RunOtlp(benchmark::State& state, const std::string& how) {
  double cpu = 0;
  for (auto step : state) {
    state.PauseTiming();
    World world;
    OtlpServerOptions options;
    options.address = "127.0.0.1:0";
    const auto server =
        OtlpServer::Start(options, world.parts, world.keys, TenantCharges(nullptr)).value();
    cpu += TimeSender(state, world, how, server->address());
    server->Stop();
    state.ResumeTiming();
  }
  Tell(state, cpu);
}

void BM_OtlpToFlowRedis(benchmark::State& state) { RunOtlp(state, "otlp"); }
BENCHMARK(BM_OtlpToFlowRedis)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(1);

void BM_OtlpRecordsToFlowRedis(benchmark::State& state) { RunOtlp(state, "records"); }
BENCHMARK(BM_OtlpRecordsToFlowRedis)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(1);

void RunHttp(benchmark::State& state, const std::string& how, bool with_tls) {
  double cpu = 0;
  for (auto step : state) {
    state.PauseTiming();
    World world;
    const TestCertificate certificate(world.folder, "server", {"bench", "IP:127.0.0.1"});
    HttpIntake intake({}, world.parts, world.keys);
    HttpServerOptions options;
    options.address = "127.0.0.1:0";
    if (with_tls) {
      options.name = "https";
      options.tls = HttpTls::Make({certificate.certificate(), certificate.key(), {}, false},
                                  SystemClock(), Logger::Null())
                        .value();
    }
    const auto server =
        HttpServer::Make(options, intake, world.parts.metrics, Logger::Null()).value();
    Must(server->Start().ok());
    cpu += TimeSender(state, world, how, options.name + "://" + server->address());
    server->Stop();
    state.ResumeTiming();
  }
  Tell(state, cpu);
}

void BM_HecEventsToFlowRedis(benchmark::State& state) { RunHttp(state, "hec", false); }
BENCHMARK(BM_HecEventsToFlowRedis)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(1);

void BM_HecRawToFlowRedis(benchmark::State& state) { RunHttp(state, "raw", false); }
BENCHMARK(BM_HecRawToFlowRedis)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(1);

void BM_HecRawOverTlsToFlowRedis(benchmark::State& state) { RunHttp(state, "raw", true); }
BENCHMARK(BM_HecRawOverTlsToFlowRedis)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace

int main(int argc, char** argv) {
  if (argc == 5 && std::string_view(argv[1]) == "--send") return Send(argv[2], argv[3], argv[4]);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
