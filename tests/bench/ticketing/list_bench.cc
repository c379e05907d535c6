#include <benchmark/benchmark.h>

#include <cstdlib>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/store/change_feed.h"
#include "common/testing/redis_server.h"
#include "services/ticketing/api/tickets.h"

// The shift's queue: a page over all tenants in one order, out of 300 tenants with 100 tickets
// each.
namespace yagura::ticketing {
namespace {

constexpr int kTenants = 300;
constexpr int kTicketsATenant = 100;

class Queue {
 public:
  Queue()
      : state_(redis_.NewPool()),
        feed_(std::make_shared<store::FeedFollower>(state_, Logger::Null())) {
    feed_->Start();
    const Stores stores = OpenStores(state_, SystemClock());
    Stores writable = stores;
    for (int t = 0; t < kTenants; ++t) {
      for (int k = 0; k < kTicketsATenant; ++k) {
        v1::Ticket ticket;
        ticket.set_name(fmt::format("tenants/t{}/tickets/k{}", t, k));
        ticket.set_title("Many denied connections");
        ticket.set_priority(static_cast<v1::Priority>(1 + (t + k) % 4));
        ticket.set_state(k % 10 == 0 ? v1::NEW : v1::CLOSED);
        ticket.set_description(std::string(500, 'x'));
        *ticket.mutable_due_time() =
            ToProto(SystemClock()->Now() + std::chrono::minutes((t * 31 + k * 17) % 10'000));
        if (!writable.tickets.Create({}, std::move(ticket)).ok()) std::abort();
      }
    }
    tickets_ = std::make_unique<TicketsApi>(stores, feed_, SystemClock(), Deadlines(),
                                            [](const std::string&) { return absl::OkStatus(); });
  }
  ~Queue() { feed_->Stop(); }

  void List(benchmark::State& bench, const char* parent, const char* filter, const char* order) {
    v1::ListTicketsRequest request;
    request.set_parent(parent);
    request.set_filter(filter);
    request.set_order_by(order);
    auth::Grant grant;
    grant.role = "analyst";
    grant.all_tenants = true;
    rpc::Call::Parts parts;
    parts.principal.name = "tenants/provider/users/bench";
    parts.principal.grants = {grant};
    parts.permission = "ticketing.tickets.list";
    parts.tenant = std::string(parent) == "tenants/-" ? "-" : "t7";
    const rpc::Call call(parts);
    for (auto _ : bench) {
      auto page = tickets_->List(call, request);
      if (!page.ok() || page->tickets().empty()) {
        bench.SkipWithError(page.status().ToString().c_str());
        break;
      }
      benchmark::DoNotOptimize(page);
    }
  }

 private:
  testing::RedisServer redis_;
  std::shared_ptr<redis::Pool> state_;
  std::shared_ptr<store::FeedFollower> feed_;
  std::unique_ptr<TicketsApi> tickets_;
};

void ListTickets(benchmark::State& bench, const char* parent, const char* filter,
                 const char* order) {
  static Queue queue;  // filled once for all benches
  queue.List(bench, parent, filter, order);
}

BENCHMARK_CAPTURE(ListTickets, all_tenants_by_due_time, "tenants/-", "", "due_time")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ListTickets, all_tenants_open_by_priority, "tenants/-",
                  "state = NEW AND priority <= P2", "priority")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ListTickets, one_tenant_by_due_time, "tenants/t7", "", "due_time")
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace yagura::ticketing

BENCHMARK_MAIN();
