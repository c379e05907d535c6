#pragma once

#include <memory>

#include "common/auth/principal.h"
#include "services/ingestion/api/api_keys.h"
#include "services/ingestion/api/http_server.h"
#include "services/ingestion/api/tenant_charges.h"
#include "services/ingestion/domain/multi_line.h"
#include "services/ingestion/workers/record_intake.h"

namespace yagura::ingestion {

// Log records over HTTP, each request answered once the streams have them all:
//   POST /v1/tenants/{tenant}/logs:bulk   NDJSON; "-" lets the directory's sources say whose they
//   are POST /services/collector/event        HEC (also /services/collector and .../event/1.0) POST
//   /services/collector/raw          HEC, one record a line (also .../raw/1.0) GET
//   /services/collector/health       (also .../health/1.0)
// The credential is an API key that may push: "Authorization: Bearer KEY", "Splunk KEY", or Basic
// with the key as password. Over TLS a client certificate may stand in for it: sources that name it
// say whose the records are, as of syslog over TLS. Requests count against the quotas of the
// sender's own tenant, as calls do. Thread-safe.
class HttpIntake final : public HttpHandler {
 public:
  struct Options {
    uint64_t body_bytes = 8ull << 20;                           // after inflation, four times that
    std::shared_ptr<const MultiLineRule> multi_line = nullptr;  // of /services/collector/raw
  };
  HttpIntake(const Options& options, const ListenerParts& parts, std::shared_ptr<ApiKeys> keys);
  // Before the server starts; else nobody is charged.
  void Charge(const TenantCharges& charges) { charges_ = charges; }

  Admission Admit(HttpHead& head, bool may_wait, HttpAnswer* refusal) override;
  HttpAnswer Handle(const HttpHead& head, std::string body) override;
  HttpAnswer Refuse(const HttpHead& head, int status, std::string_view why) override;

 private:
  HttpAnswer Health() const;
  absl::Status TakeBody(const HttpHead& head, std::string body, size_t* records);

  const Options options_;
  const std::shared_ptr<BatchSink> sink_;
  const std::shared_ptr<CurrentSources> sources_;
  const std::shared_ptr<ApiKeys> keys_;
  TenantCharges charges_{nullptr};
  RecordIntake intake_;
};

}  // namespace yagura::ingestion
