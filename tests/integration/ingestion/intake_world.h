#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "common/event/batch_codec.h"
#include "common/metrics/metrics.h"
#include "common/redis/pool.h"
#include "common/stream/producer.h"
#include "common/stream/worker.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/ingestion/domain/quarantine.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/storage/request_memory.h"
#include "services/ingestion/workers/current_sources.h"
#include "services/ingestion/workers/listener.h"
#include "yagura/directory/v1/source.pb.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::ingestion {

using testing::Eventually;
using testing::IsOk;

// A sender.
class Client {
 public:
  Client(int type, const std::string& address) : fd_(::socket(AF_INET, type, 0)) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&place), sizeof place) != 0) std::abort();
  }
  ~Client() { ::close(fd_); }
  void Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) std::abort();
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  // The other side may close in the middle.
  void Offer(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  bool HasEnded() const {
    char byte = 0;
    const ssize_t got = ::recv(fd_, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }

 private:
  int fd_;
};

// Sink, spool and one listener against a real flow Redis. Lines from this host are those of the
// tenant acme.
class IntakeWorld : public ::testing::Test {
 protected:
  IntakeWorld() {
    parts_.instance = "test";
    parts_.sources = std::make_shared<CurrentSources>();
    parts_.quarantine = std::make_shared<Quarantine>();
    parts_.metrics = std::make_shared<IngestionMetrics>(registry_);
    parts_.clock = SystemClock();
    directory::v1::Source source;
    source.set_name("tenants/acme/sources/fw");
    source.set_site("hq");
    source.set_device("fw1");
    source.mutable_match()->set_cidr("127.0.0.0/8");
    parts_.sources->Set(SourceMap::Build({source}, {}, nullptr));
    NewSink();
  }
  ~IntakeWorld() override {
    listener_.reset();
    parts_.sink.reset();
    std::filesystem::remove_all(folder_);
  }

  void NewSink() {
    parts_.sink.reset();
    auto producer = std::make_shared<stream::Producer>(pool_, topic_, stream::Producer::Options{});
    parts_.sink = std::make_shared<BatchSink>(
        producer, Spool::Open(folder_ / "spool", spool_quota_).value(), parts_.metrics,
        Logger::Null(), std::make_shared<RequestMemory>(pool_, topic_.shards));
    parts_.sink->Start();
  }

  std::string Listen(bool tcp, ListenerOptions options = {}) {
    options.name = !tcp ? "syslog_udp" : options.tls != nullptr ? "syslog_tls" : "syslog_tcp";
    options.address = "127.0.0.1:0";
    auto made = tcp ? MakeTcpListener(options, parts_) : MakeUdpListener(options, parts_);
    listener_ = std::move(made).value();
    listener_->Start();
    return listener_->address();
  }

  // Every event in the streams, in the order of each shard; empty where Redis is away.
  std::vector<event::v1::Event> Stored() {
    std::vector<event::v1::Event> events;
    for (int shard = 0; shard < topic_.shards; ++shard) {
      const auto reply =
          pool_->Command({"XRANGE", stream::StreamKey(topic_.name, shard), "-", "+"});
      if (!reply.ok()) return {};
      for (const redis::Reply& entry : reply->items) {
        const auto& pairs = entry.items[1].items;
        for (size_t i = 1; i < pairs.size(); i += 2) {
          auto reader = event::BatchReader::Open(pairs[i].text);
          if (!reader.ok()) continue;  // the key, not the payload
          for (size_t at = 0; at < reader->size(); ++at) {
            EXPECT_THAT(reader->Get(at, &events.emplace_back()), IsOk());
          }
        }
      }
    }
    return events;
  }

  bool EventuallyStored(size_t count) {
    return Eventually([&] { return Stored().size() >= count; });
  }

  bool HasMetric(std::string_view line) const {
    return registry_->Render().find(line) != std::string::npos;
  }

  static std::multiset<std::string> RawOf(const std::vector<event::v1::Event>& events) {
    std::multiset<std::string> lines;
    for (const auto& event : events) lines.insert(event.raw());
    return lines;
  }

  uint64_t spool_quota_ = 1 << 30;
  const std::filesystem::path folder_ = testing::MakeTemporaryFolder();
  testing::RedisServer redis_;
  std::shared_ptr<redis::Pool> pool_ = redis_.NewPool();
  const stream::Topic topic_{"events", 2, {"archive"}};
  std::shared_ptr<MetricsRegistry> registry_ = std::make_shared<MetricsRegistry>();
  ListenerParts parts_{{}, {}, {}, {}, {}, {}, {}, Logger::Null()};
  std::unique_ptr<Listener> listener_;
};

}  // namespace yagura::ingestion
