#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/event/batch_codec.h"
#include "common/eventstore/client.h"
#include "common/rpc/call.h"
#include "common/rpc/streams.h"
#include "common/stream/producer.h"
#include "common/stream/topic.h"
#include "common/testing/event_store.h"
#include "common/testing/redis_server.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/storage/spool.h"
#include "services/archive/workers/event_writer.h"
#include "services/archive/workers/retention.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {

// Time at which the fixture's events begin to be received, in the middle of a day that is not over
// its retention: a whole number of hours.
TimePoint BaseTime();

// A firewall event of `tenant`, the same for the same numbers.
event::v1::Event MakeEvent(const std::string& tenant, int number);

// A batch of events `first`..`first + count - 1`.
std::string MakeBatch(const std::string& tenant, const std::string& batch_id, int first, int count);

// Collects what a handler sends.
class CollectingOutbox : public rpc::RawOutbox {
 public:
  bool Push(std::shared_ptr<const google::protobuf::Message> message) override {
    messages.push_back(std::move(message));
    return true;
  }
  bool PushWhenRoom(std::shared_ptr<const google::protobuf::Message> message) override {
    return Push(std::move(message));
  }
  void Finish(const absl::Status& status) override { finished = status; }

  std::vector<std::shared_ptr<const google::protobuf::Message>> messages;
  absl::Status finished;
};

// A call of somebody who may read the events of `tenants` ("-" in it: of all), about `tenant`.
rpc::Call MakeCall(const std::string& tenant, const std::set<std::string>& tenants);

// A real event store with the schema, a real Redis with the events' topic, and the writer.
class Archive {
 public:
  Archive();
  ~Archive();

  std::unique_ptr<EventWriter> NewWriter(WriterOptions options, int threads = 2);
  // Appends a batch to the shard of its id.
  void Produce(const std::string& tenant, const std::string& batch_id, int first, int count);
  void ProduceRaw(int shard, const std::string& key, const std::string& payload);
  // Waits until the store has so many events; false after 60 s.
  bool AwaitEvents(uint64_t count);
  uint64_t CountEvents(const std::string& what = "count()");
  uint64_t Lag();
  // "as events" where the flows' sums are those of the events, else both.
  std::string FlowsAddUpTo();
  // Waits until the writer has committed everything; false after 60 s.
  bool AwaitNoLag();

  testing::EventStore store;
  testing::RedisServer redis;
  EventTable table;
  Retention retention{400};
  stream::Topic topic{"events", 4, {"archive"}};
  std::shared_ptr<eventstore::Client> client;
  std::shared_ptr<redis::Pool> flow;
  std::unique_ptr<stream::Producer> producer;
  std::unique_ptr<Spool> spool;
};

// Inserts so many events of the tenants acme and beta, numbered from 0, as one range.
absl::Status InsertTwoTenants(const Archive& archive, int acme, int beta);

}  // namespace yagura::archive
