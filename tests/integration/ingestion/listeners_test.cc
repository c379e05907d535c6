// Listeners, sink and spool against a real flow Redis: what came in is in the streams, once, also
// when Redis was away in the middle.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <thread>

#include "common/testing/fortigate_lines.h"
#include "common/testing/patience.h"
#include "services/ingestion/domain/multi_line.h"
#include "tests/integration/ingestion/intake_world.h"

namespace yagura::ingestion {
namespace {

class ListenersTest : public IntakeWorld {};

TEST_F(ListenersTest, TcpLinesOfBothFramingsReachTheStreams) {
  const std::string address = Listen(true);
  testing::FortigateLines source;
  std::multiset<std::string> sent;
  {
    const Client client(SOCK_STREAM, address);
    std::string bytes;
    for (int i = 0; i < 3000; ++i) {
      const std::string line = source.Next();
      sent.insert(line);
      bytes += i % 2 == 0 ? line + "\n" : std::to_string(line.size()) + " " + line;
    }
    client.Send(bytes);
  }
  ASSERT_TRUE(EventuallyStored(sent.size()));
  const auto events = Stored();
  EXPECT_EQ(RawOf(events), sent);
  std::set<std::string> ids;
  uint64_t denied = 0;
  for (const auto& event : events) {
    EXPECT_EQ(event.tenant(), "acme");
    EXPECT_EQ(event.site(), "hq");
    EXPECT_EQ(event.device(), "fw1");
    EXPECT_EQ(event.origin(), "127.0.0.1");
    EXPECT_EQ(event.product(), "fortinet.fortigate");
    denied += event.category() == "traffic" && event.action() == event::v1::BLOCKED;
    ids.insert(event.id());
  }
  EXPECT_EQ(ids.size(), sent.size());
  EXPECT_EQ(denied, source.counts().denied);
}

TEST(ConnectionsThatFit, LeavesHalfOfTheFilesToOthers) {
  ListenerOptions options;
  options.max_connections = 10'000;
  EXPECT_EQ(ConnectionsThatFit(options, 1 << 20), 10'000U);
  EXPECT_EQ(ConnectionsThatFit(options, 1024), 512U);
  options.threads = 4;
  EXPECT_EQ(ConnectionsThatFit(options, 1024), 128U);
  EXPECT_EQ(ConnectionsThatFit(options, 2), 1U);
}

TEST_F(ListenersTest, ATcpThreadRefusesMoreConnectionsThanItMayHold) {
  ListenerOptions options;
  options.max_connections = 3;
  const std::string address = Listen(true, options);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(std::make_unique<Client>(SOCK_STREAM, address));
  EXPECT_TRUE(Eventually([&] {
    return std::count_if(clients.begin(), clients.end(),
                         [](const auto& client) { return client->HasEnded(); }) == 2;
  }));
}

TEST_F(ListenersTest, ASilentTcpConnectionIsClosedAndItsLastLineKept) {
  ListenerOptions options;
  options.idle_timeout = std::chrono::seconds(2);
  const std::string address = Listen(true, options);
  const Client silent(SOCK_STREAM, address);
  silent.Send("<13>app: a line without an end");
  const Client busy(SOCK_STREAM, address);
  size_t sent = 0;
  auto last = std::chrono::steady_clock::now();
  auto longest_pause = last - last;
  ASSERT_TRUE(Eventually([&] {
    if (silent.HasEnded() || busy.HasEnded()) return true;
    busy.Send("<13>app: busy\n");
    ++sent;
    longest_pause = std::max(longest_pause, std::chrono::steady_clock::now() - last);
    last = std::chrono::steady_clock::now();
    return false;
  }));
  longest_pause = std::max(longest_pause, std::chrono::steady_clock::now() - last);
  if (busy.HasEnded() && longest_pause > options.idle_timeout / 2) {
    GTEST_SKIP() << "this machine stalls: the busy one was silent too";
  }
  EXPECT_FALSE(busy.HasEnded());
  ASSERT_TRUE(EventuallyStored(sent + 1));
  EXPECT_EQ(RawOf(Stored()).count("<13>app: a line without an end"), 1u);
  EXPECT_NE(
      registry_->Render().find("connections_cut_total{listener=\"syslog_tcp\",reason=\"idle\"} 1"),
      std::string::npos);
}

TEST_F(ListenersTest, APlaceThatIsTakenIsNotShared) {
  for (const bool tcp : {true, false}) {
    const std::string address = Listen(tcp);
    ListenerOptions options;
    options.name = "second";
    options.address = address;
    options.threads = 2;
    const auto second = tcp ? MakeTcpListener(options, parts_) : MakeUdpListener(options, parts_);
    EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << address;
  }
}

TEST_F(ListenersTest, ThoseWhoHoardBegunLinesAreClosedAndNobodyElse) {
  ListenerOptions options;
  options.max_pending_bytes = 90'000;  // a hoarder alone is more than the part of a thread
  options.threads = 2;
  const std::string address = Listen(true, options);
  // Together less than the part of a thread, however they fall to them.
  std::vector<std::unique_ptr<Client>> modest;
  std::vector<std::string> begun;
  for (int i = 0; i < 18; ++i) {
    begun.push_back("<13>app: begun " + std::string(i < 3 ? 10'000 : 200, 'm'));
    modest.push_back(std::make_unique<Client>(SOCK_STREAM, address));
    modest.back()->Send(begun.back());
  }
  const auto has_ended = [](const auto& client) { return client->HasEnded(); };
  std::vector<std::unique_ptr<Client>> hoarders;
  for (int i = 0; i < 40; ++i) {
    for (const auto& client : modest) client->Offer("\n");
    hoarders.push_back(std::make_unique<Client>(SOCK_STREAM, address));
    hoarders.back()->Offer(std::string(64'000, 'x'));
    for (size_t k = 0; k < modest.size(); ++k) modest[k]->Offer(begun[k]);
  }
  EXPECT_TRUE(Eventually([&] { return std::all_of(hoarders.begin(), hoarders.end(), has_ended); }));
  for (const auto& client : modest) client->Offer(" and ended\n");
  EXPECT_TRUE(Eventually([&] {
    const auto lines = RawOf(Stored());
    return std::all_of(begun.begin(), begun.end(), [&lines](const std::string& line) {
      return lines.contains(line + " and ended");
    });
  }));
  EXPECT_EQ(std::count_if(modest.begin(), modest.end(), has_ended), 0);
}

TEST_F(ListenersTest, LinesOfAStackTraceOverTcpAreOneEvent) {
  MultiLineOptions rule;
  rule.start = "^<\\d+>";
  rule.timeout = std::chrono::milliseconds(200);
  ListenerOptions options;
  options.multi_line = MultiLineRule::Make(rule).value();
  const std::string address = Listen(true, options);
  const std::string trace = "<11>shop: java.lang.Error: no\n\tat a.B.c(B.java:1)\n\t... 2 more";
  const Client client(SOCK_STREAM, address);
  const Client other(SOCK_STREAM, address);
  client.Send(trace.substr(0, 20));
  other.Send("<13>other: in between\n");
  client.Send(trace.substr(20) + "\n");
  // The last one of each is whole after its time.
  ASSERT_TRUE(EventuallyStored(2));
  EXPECT_EQ(RawOf(Stored()), (std::multiset<std::string>{trace, "<13>other: in between"}));
  // What is counted in octets is whole at once, and ends what was begun.
  client.Send("<13>shop: begun\n15 <13>shop: whole<13>shop: last\n\tmore");
  ASSERT_TRUE(EventuallyStored(4));
  EXPECT_EQ(RawOf(Stored()).count("<13>shop: begun"), 1u);
  EXPECT_EQ(RawOf(Stored()).count("<13>shop: whole"), 1u);
  listener_->Stop();  // as a close does
  EXPECT_EQ(RawOf(Stored()).count("<13>shop: last\n\tmore"), 1u);
}

TEST_F(ListenersTest, UdpLinesReachTheStreams) {
  const std::string address = Listen(false);
  testing::FortigateLines source;
  std::multiset<std::string> sent;
  const Client client(SOCK_DGRAM, address);
  for (int i = 0; i < 500; ++i) {
    const std::string line = source.Next();
    sent.insert(line);
    client.Send(line + "\n");
  }
  ASSERT_TRUE(EventuallyStored(sent.size()));
  EXPECT_EQ(RawOf(Stored()), sent);
}

TEST_F(ListenersTest, AStopDoesNotWaitForSendersOverUdpThatNeverStop) {
  const std::string address = Listen(false);
  std::atomic<bool> over{false};
  std::vector<std::thread> flood;
  for (int i = 0; i < 8; ++i) {  // more than one thread reads, whatever the machine
    flood.emplace_back([&] {
      const Client client(SOCK_DGRAM, address);
      while (!over) client.Offer("<13>app: x");
    });
  }
  EXPECT_TRUE(EventuallyStored(1));
  auto stopped = std::async(std::launch::async, [&] { listener_->Stop(); });
  EXPECT_EQ(stopped.wait_for(testing::Patient(std::chrono::seconds(10))),
            std::future_status::ready);
  over = true;
  for (std::thread& thread : flood) thread.join();
}

TEST_F(ListenersTest, DatagramsThatTheKernelDropsAreCountedThoughNoneComesAfterThem) {
  ListenerOptions options;
  options.name = "syslog_udp";
  options.address = "127.0.0.1:0";
  options.receive_buffer_bytes = 4096;
  listener_ = MakeUdpListener(options, parts_).value();
  const Client client(SOCK_DGRAM, listener_->address());
  constexpr size_t kSent = 500;  // far more than the buffer holds while nobody reads
  for (size_t i = 0; i < kSent; ++i) client.Send("<13>app: " + std::string(200, 'x'));
  listener_->Start();
  const auto dropped = [&] {
    constexpr std::string_view kName = "kernel_drops_total{listener=\"syslog_udp\"} ";
    const std::string text = registry_->Render();
    const size_t at = text.find(kName);
    return at == std::string::npos ? size_t{0} : std::stoul(text.substr(at + kName.size()));
  };
  EXPECT_TRUE(Eventually([&] { return dropped() + Stored().size() == kSent; }))
      << dropped() << " dropped, " << Stored().size() << " stored";
  EXPECT_GT(dropped(), 0u);
}

TEST_F(ListenersTest, LinesOfUnknownSendersAreKeptInQuarantineAndShown) {
  parts_.sources->Set(SourceMap::Empty());
  const std::string address = Listen(true);
  const Client client(SOCK_STREAM, address);
  client.Send("<13>Nov 21 09:15:42 srv app: hello\n");
  ASSERT_TRUE(EventuallyStored(1));
  EXPECT_EQ(Stored()[0].tenant(), "quarantine");
  const auto senders = parts_.quarantine->List(*SourceMap::Empty());
  ASSERT_EQ(senders.size(), 1u);
  EXPECT_EQ(senders[0].address(), "127.0.0.1");
  EXPECT_EQ(senders[0].listener(), "syslog_tcp");
  EXPECT_EQ(senders[0].host(), "srv");
  EXPECT_EQ(senders[0].samples(0), "<13>Nov 21 09:15:42 srv app: hello");
}

TEST_F(ListenersTest, OneBoxServesTwoTenantsByVirtualContext) {
  std::vector<directory::v1::Source> sources(2);
  for (int i = 0; i < 2; ++i) {
    const std::string tenant = i == 0 ? "one" : "two";
    sources[i].set_name("tenants/" + tenant + "/sources/fw");
    sources[i].mutable_match()->set_device_serial("FGT60FTK00000001");
    sources[i].mutable_match()->set_virtual_context("vd-" + tenant);
  }
  parts_.sources->Set(SourceMap::Build(sources, {}, nullptr));
  const std::string address = Listen(true);
  const Client client(SOCK_STREAM, address);
  for (const char* vd : {"vd-one", "vd-two", "vd-one", "vd-three"}) {
    client.Send("<189>date=2026-11-21 time=09:15:42 devid=\"FGT60FTK00000001\" logid=\"1\" vd=\"" +
                std::string(vd) + "\"\n");
  }
  ASSERT_TRUE(EventuallyStored(4));
  std::map<std::string, int> by_tenant;
  for (const auto& event : Stored()) ++by_tenant[event.tenant()];
  EXPECT_EQ(by_tenant, (std::map<std::string, int>{{"one", 2}, {"two", 1}, {"quarantine", 1}}));
}

TEST_F(ListenersTest, RedisKilledInTheMiddleLosesAndDoublesNothing) {
  const std::string address = Listen(true);
  testing::FortigateLines source;
  std::multiset<std::string> sent;
  const Client client(SOCK_STREAM, address);
  // Enough that neither our spool nor the kernel's buffers take it all while Redis is away.
  std::jthread sender([&] {
    for (int i = 0; i < 60'000; ++i) {
      const std::string line = source.Next();
      sent.insert(line);
      client.Send(line + "\n");
    }
  });
  ASSERT_TRUE(EventuallyStored(2000));
  redis_.KillHard();
  ASSERT_TRUE(Eventually([&] { return !parts_.sink->flowing(); }));
  EXPECT_FALSE(parts_.sink->health().ok());
  redis_.Restart();
  sender.join();
  ASSERT_TRUE(EventuallyStored(sent.size()));
  EXPECT_TRUE(Eventually([&] { return parts_.sink->flowing(); }));
  EXPECT_EQ(RawOf(Stored()), sent);
}

TEST_F(ListenersTest, UdpGoesToTheSpoolWhileRedisIsAwayAndIsReplayedInOrder) {
  const std::string address = Listen(false);
  const Client client(SOCK_DGRAM, address);
  client.Send("<13>app: first");
  ASSERT_TRUE(EventuallyStored(1));
  redis_.KillHard();
  std::vector<std::string> sent{"<13>app: first"};
  for (int i = 0; i < 50; ++i) {
    sent.push_back("<13>app: line " + std::to_string(i));
    client.Send(sent.back());
  }
  ASSERT_TRUE(Eventually([&] {
    return registry_->Render().find("yagura_ingestion_spooled_lines_total") != std::string::npos;
  }));
  redis_.Restart();
  ASSERT_TRUE(EventuallyStored(sent.size()));
  std::vector<std::string> stored;
  for (const auto& event : Stored()) stored.push_back(event.raw());
  EXPECT_EQ(stored, sent);
}

TEST_F(ListenersTest, TheSpoolOfAnEarlierProcessGoesFirst) {
  const std::string address = Listen(false);
  redis_.KillHard();
  const Client client(SOCK_DGRAM, address);
  client.Send("<13>app: before");
  ASSERT_TRUE(Eventually([&] {
    return registry_->Render().find("yagura_ingestion_spooled_lines_total") != std::string::npos;
  }));
  listener_.reset();
  NewSink();  // as after a restart of the process
  parts_.instance = "second";
  EXPECT_FALSE(parts_.sink->flowing());
  const std::string again = Listen(false);
  const Client second(SOCK_DGRAM, again);
  second.Send("<13>app: after");
  redis_.Restart();
  ASSERT_TRUE(EventuallyStored(2));
  const auto events = Stored();
  EXPECT_EQ(events[0].raw(), "<13>app: before");
  EXPECT_EQ(events[1].raw(), "<13>app: after");
}

}  // namespace
}  // namespace yagura::ingestion
