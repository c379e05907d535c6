#pragma once

#include <memory>
#include <string>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/rpc/call.h"
#include "common/store/change_feed.h"
#include "common/testing/eventually.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/ticketing/storage/stores.h"
#include "yagura/detection/v1/finding.pb.h"

namespace yagura::ticketing {

using testing::Eventually;

// A call as the runtime hands it to a handler.
inline rpc::Call CallAs(const std::string& role, const std::string& tenant,
                        const std::string& permission = "ticketing.tickets.list",
                        const std::string& request_id = "") {
  auth::Grant grant;
  grant.role = role;
  grant.all_tenants = role.rfind("customer-", 0) != 0;
  if (!grant.all_tenants) grant.tenants.insert(tenant);
  rpc::Call::Parts parts;
  parts.principal.name =
      fmt::format("tenants/{}/users/{}", tenant == "-" ? "provider" : tenant, role);
  parts.principal.grants.push_back(grant);
  parts.method = "/test";
  parts.permission = permission;
  parts.tenant = tenant;
  parts.request_id = request_id;
  if (!request_id.empty()) parts.request_digest = "of " + request_id;
  return rpc::Call(std::move(parts));
}

inline detection::v1::Finding FindingOf(const std::string& tenant, const std::string& id,
                                        const std::string& key,
                                        event::v1::Severity severity = event::v1::HIGH) {
  detection::v1::Finding finding;
  finding.set_name(fmt::format("tenants/{}/findings/{}", tenant, id));
  finding.set_dedup_key(key);
  finding.set_title("Many denied connections");
  finding.set_severity(severity);
  finding.set_event_count(1);
  auto& evidence = *finding.add_evidence();
  evidence.set_event_id("event-" + id);
  evidence.set_raw("srcip=192.0.2.1");
  *evidence.mutable_event_time() = ToProto(SystemClock()->Now());
  return finding;
}

class WorldTest : public ::testing::Test {
 protected:
  WorldTest() {
    feed_->Start();
    for (const char* tenant : {"acme", "globex"}) {
      EXPECT_THAT(store::RegisterTenant(*state_, tenant), testing::IsOk());
    }
    EXPECT_THAT(feed_->CatchUp(), testing::IsOk());
  }
  ~WorldTest() override { feed_->Stop(); }

  testing::RedisServer redis_;
  std::shared_ptr<redis::Pool> state_ = redis_.NewPool();
  std::shared_ptr<store::FeedFollower> feed_ =
      std::make_shared<store::FeedFollower>(state_, Logger::Null());
  Stores stores_ = OpenStores(state_, SystemClock());
};

}  // namespace yagura::ticketing
