#include <thread>

#include "benchmark/benchmark.h"
#include "tests/unit/common/rpc/test_server.h"

// What the runtime costs: calls and stream messages a second through the whole adapter (token,
// scope, quota, executor, metrics) over loopback TCP, client and server in one process.
namespace yagura::rpc {
namespace {

using testing::v1::EchoRequest;
using testing::v1::EchoResponse;
using testing::v1::EchoService;

std::unique_ptr<TestServer> MakeServer() {
  ServerOptions options;
  options.calls_per_second_per_tenant = 1e6;
  options.bytes_per_second_per_tenant = 1e12;
  auto server = std::make_unique<TestServer>(options);
  if (!server->Start().ok()) std::abort();
  return server;
}

// One caller that waits for each answer: the latency of a call.
void UnaryOneByOne(benchmark::State& state) {
  const auto server = MakeServer();
  const auto stub = server->stub();
  const std::string token = server->Token("engineer", {"acme"});
  const EchoRequest request = Request("tenants/acme/echoes/e");
  EchoResponse response;
  for (auto _ : state) {
    grpc::ClientContext context;
    server->Authorize(context, token);
    if (!stub->GetEcho(&context, request, &response).ok()) std::abort();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(UnaryOneByOne)->UseRealTime();

// Many callers at once: what the server carries.
void UnaryConcurrent(benchmark::State& state) {
  const auto server = MakeServer();
  const std::string token = server->Token("engineer", {"acme"});
  const EchoRequest request = Request("tenants/acme/echoes/e");
  constexpr int kCallsEach = 500;
  for (auto _ : state) {
    std::vector<std::thread> callers;
    for (int i = 0; i < state.range(0); ++i) {
      callers.emplace_back([&] {
        const auto stub = server->stub();
        EchoResponse response;
        for (int n = 0; n < kCallsEach; ++n) {
          grpc::ClientContext context;
          server->Authorize(context, token);
          if (!stub->GetEcho(&context, request, &response).ok()) std::abort();
        }
      });
    }
    for (auto& caller : callers) caller.join();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0) * kCallsEach);
}
BENCHMARK(UnaryConcurrent)->Arg(16)->UseRealTime()->Unit(benchmark::kMillisecond);

// Messages of a client stream of the given size: what Push can carry.
void ClientStream(benchmark::State& state) {
  const auto server = MakeServer();
  const auto stub = server->stub();
  const EchoRequest request =
      Request("tenants/acme/echoes/e", std::string(static_cast<size_t>(state.range(0)), 'x'));
  constexpr int kMessages = 2000;
  for (auto _ : state) {
    grpc::ClientContext context;
    server->Authorize(context, server->Token("engineer", {"acme"}));
    EchoResponse response;
    auto writer = stub->Collect(&context, &response);
    for (int i = 0; i < kMessages; ++i) writer->Write(request);
    writer->WritesDone();
    if (!writer->Finish().ok()) std::abort();
  }
  state.SetItemsProcessed(state.iterations() * kMessages);
  state.SetBytesProcessed(state.iterations() * kMessages * state.range(0));
}
BENCHMARK(ClientStream)->Arg(100)->Arg(64 << 10)->UseRealTime()->Unit(benchmark::kMillisecond);

// Messages of a server stream: what a search gives.
void ServerStream(benchmark::State& state) {
  const auto server = MakeServer();
  const auto stub = server->stub();
  EchoRequest request = Request("tenants/acme/echoes/e");
  request.set_count(5000);
  request.set_padding(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    grpc::ClientContext context;
    server->Authorize(context, server->Token("engineer", {"acme"}));
    auto reader = stub->SearchEchoes(&context, request);
    EchoResponse response;
    while (reader->Read(&response)) {
    }
    if (!reader->Finish().ok()) std::abort();
  }
  state.SetItemsProcessed(state.iterations() * request.count());
  state.SetBytesProcessed(state.iterations() * request.count() * state.range(0));
}
BENCHMARK(ServerStream)->Arg(100)->Arg(16 << 10)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace yagura::rpc

BENCHMARK_MAIN();
