// What happens where there are no more file descriptors: inputs share them out, and nothing spins.
#include <sys/resource.h>

#include <mutex>

#include "common/testing/fake_clock.h"
#include "common/testing/fortigate_lines.h"
#include "services/ingestion/workers/connection_gate.h"
#include "services/ingestion/workers/descriptor_budget.h"
#include "tests/integration/ingestion/intake_world.h"

namespace yagura::ingestion {
namespace {

class DescriptorsTest : public IntakeWorld {};

TEST_F(DescriptorsTest, NoInputTakesThemAllAndAllTogetherNoMoreThanThereAre) {
  const auto budget = std::make_shared<DescriptorBudget>(10, parts_.metrics, Logger::Null());
  std::vector<DescriptorBudget::Lease> leases;
  const auto take = [&](const std::string& input) {
    auto lease = budget->Take(input);
    const bool taken = static_cast<bool>(lease);
    if (taken) leases.push_back(std::move(lease));
    return taken;
  };
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(take("syslog_tcp")) << i;
  EXPECT_FALSE(take("syslog_tcp")) << "the others must find something";
  EXPECT_TRUE(take("http"));
  EXPECT_TRUE(take("otlp"));
  EXPECT_TRUE(HasMetric("yagura_ingestion_descriptors 7"));
  EXPECT_TRUE(HasMetric("yagura_ingestion_descriptors_limit 10"));
  EXPECT_TRUE(HasMetric("descriptors_refused_total{listener=\"syslog_tcp\"} 1"));
  leases.clear();
  EXPECT_TRUE(HasMetric("yagura_ingestion_descriptors 0"));
}

TEST_F(DescriptorsTest, AConnectionBeyondTheBudgetIsClosedAndTheOthersAreRead) {
  parts_.descriptors = std::make_shared<DescriptorBudget>(2, parts_.metrics, Logger::Null());
  const std::string address = Listen(true);
  testing::FortigateLines lines;
  {
    const Client first(SOCK_STREAM, address);
    first.Send(lines.Next() + "\n");
    EXPECT_TRUE(EventuallyStored(1));
    const Client second(SOCK_STREAM, address);
    EXPECT_TRUE(Eventually([&] { return second.HasEnded(); }));
    first.Send(lines.Next() + "\n");
    EXPECT_TRUE(EventuallyStored(2));
  }
  EXPECT_TRUE(HasMetric("cut_total{listener=\"syslog_tcp\",reason=\"descriptors\"} 1"));
  EXPECT_TRUE(Eventually([&] { return HasMetric("yagura_ingestion_descriptors 0"); }));
}

// gRPC closes connections without telling. The clock stands still: nobody waits for a next look.
class ConnectionGateTest : public DescriptorsTest {
 protected:
  ConnectionGateTest() { parts_.clock = std::make_shared<testing::FakeClock>(); }
  ~ConnectionGateTest() override {
    for (const int fd : admitted_) ::close(fd);
  }

  std::unique_ptr<ConnectionGate> NewGate(size_t most_per_address) {
    return std::make_unique<ConnectionGate>("otlp", Bind("127.0.0.1:0", SOCK_STREAM).value(),
                                            parts_, most_per_address, [this](int fd) {
                                              const std::lock_guard lock(mutex_);
                                              admitted_.push_back(fd);
                                            });
  }
  bool EventuallyAdmitted(size_t count) {
    return Eventually([&] {
      const std::lock_guard lock(mutex_);
      return admitted_.size() == count;
    });
  }
  void CloseFirst() {
    const std::lock_guard lock(mutex_);
    ::close(admitted_.front());
    admitted_.erase(admitted_.begin());
  }

  std::mutex mutex_;
  std::vector<int> admitted_;
};

TEST_F(ConnectionGateTest, AConnectionThatWasClosedMakesRoomForTheNextOfItsAddressAtOnce) {
  const auto gate = NewGate(2);
  std::vector<std::unique_ptr<Client>> clients;
  const auto connect = [&] {
    clients.push_back(std::make_unique<Client>(SOCK_STREAM, gate->address()));
  };
  for (size_t i = 1; i <= 2; ++i) {
    connect();
    ASSERT_TRUE(EventuallyAdmitted(i));
  }
  connect();
  EXPECT_TRUE(Eventually([&] { return clients.back()->HasEnded(); }));
  EXPECT_TRUE(HasMetric("cut_total{listener=\"otlp\",reason=\"limit\"} 1"));
  for (int i = 0; i < 5; ++i) {
    CloseFirst();
    connect();
    EXPECT_TRUE(EventuallyAdmitted(2)) << i;
  }
  EXPECT_TRUE(HasMetric("cut_total{listener=\"otlp\",reason=\"limit\"} 1"));
}

TEST_F(ConnectionGateTest, ADescriptorThatIsFreeAgainIsFoundAtOnce) {
  parts_.descriptors = std::make_shared<DescriptorBudget>(2, parts_.metrics, Logger::Null());
  const auto gate = NewGate(100);
  const Client first(SOCK_STREAM, gate->address());
  ASSERT_TRUE(EventuallyAdmitted(1));
  const Client refused(SOCK_STREAM, gate->address());
  EXPECT_TRUE(Eventually([&] { return refused.HasEnded(); }));
  EXPECT_TRUE(HasMetric("cut_total{listener=\"otlp\",reason=\"descriptors\"} 1"));
  CloseFirst();
  const Client second(SOCK_STREAM, gate->address());
  EXPECT_TRUE(EventuallyAdmitted(1));
}

// In an interval no more are looked at than have a bound, but all in the end.
TEST_F(ConnectionGateTest, ThoseThatAreLeftAreCountedWhileNobodyConnects) {
  const auto clock = std::make_shared<testing::FakeClock>();
  parts_.clock = clock;
  const auto gate = NewGate(100);
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 1; i <= 20; ++i) {
    clients.push_back(std::make_unique<Client>(SOCK_STREAM, gate->address()));
    ASSERT_TRUE(EventuallyAdmitted(i));
  }
  for (int i = 0; i < 15; ++i) CloseFirst();
  clock->Advance(std::chrono::seconds(1));
  EXPECT_TRUE(
      Eventually([&] { return HasMetric("connections_closed_total{listener=\"otlp\"} 15"); }));
}

TEST_F(DescriptorsTest, WithoutADescriptorAcceptingWaitsInsteadOfSpinning) {
  const std::string address = Listen(true);
  const int sender = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = ::dup(sender);
  ::close(lowest_free);
  const rlimit none{static_cast<rlim_t>(lowest_free), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  ASSERT_EQ(::connect(sender, reinterpret_cast<sockaddr*>(&place), sizeof place), 0);
  const auto pauses = [this] {
    const std::string text = registry_->Render();
    const std::string_view name = "yagura_ingestion_accept_pauses_total{listener=\"syslog_tcp\"} ";
    const size_t at = text.find(name);
    return at == text.npos ? 0.0 : std::stod(text.substr(at + name.size()));
  };
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(Eventually([&] { return pauses() >= 2; })) << "it tries again by itself";
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_LE(pauses(), 3 + took.count() * 3) << "and not all the time";
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  const std::string line = testing::FortigateLines().Next() + "\n";
  ASSERT_EQ(::send(sender, line.data(), line.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(line.size()));
  EXPECT_TRUE(EventuallyStored(1));
  ::close(sender);
}

}  // namespace
}  // namespace yagura::ingestion
