#include "services/ingestion/api/http_intake.h"

#include <algorithm>
#include <set>
#include <utility>

#include "fmt/format.h"

#include "common/event/batch_format.h"
#include "common/rpc/authenticator.h"
#include "common/status/public_status.h"
#include "common/status/status.h"
#include "common/text/characters.h"
#include "common/text/text.h"
#include "services/ingestion/domain/http_bodies.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/workers/current_sources.h"

namespace yagura::ingestion {
namespace {

constexpr std::string_view kPermission = "ingestion.events.push";
constexpr uint64_t kInflation = 4;  // how many times longer than on the wire
constexpr size_t kMaxIdempotencyKey = 128;
constexpr int64_t kMaxRetryAfter = 3600;  // seconds

enum class Route { kNone, kBulk, kHecEvent, kHecRaw, kHecHealth };

struct Target {
  Route route = Route::kNone;
  std::string tenant;  // of a bulk request
};

Target TargetOf(std::string_view path) {
  constexpr std::string_view kTenants = "/v1/tenants/";
  constexpr std::string_view kBulk = "/logs:bulk";
  if (path.starts_with(kTenants) && path.ends_with(kBulk) &&
      path.size() > kTenants.size() + kBulk.size()) {
    path.remove_prefix(kTenants.size());
    path.remove_suffix(kBulk.size());
    return path.find('/') == path.npos ? Target{Route::kBulk, std::string(path)} : Target{};
  }
  constexpr std::string_view kHec = "/services/collector";
  if (!path.starts_with(kHec)) return {};
  path.remove_prefix(kHec.size());
  if (path.ends_with("/1.0")) path.remove_suffix(4);
  if (path.empty() || path == "/event") return {Route::kHecEvent, {}};
  if (path == "/raw") return {Route::kHecRaw, {}};
  if (path == "/health") return {Route::kHecHealth, {}};
  return {};
}

// Who was let in, and for what.
struct Admitted {
  Target target;
  // Whose key it was; null: a device that showed its certificate instead.
  std::shared_ptr<const auth::Principal> principal;
  auth::TenantSet tenants;  // into which it may write; lines of others go to quarantine
};

std::vector<std::string> CertificatesOf(const HttpHead& head) {
  return head.certificates == nullptr ? std::vector<std::string>() : *head.certificates;
}

// By which sources know whoever shows no key.
Sender DeviceOf(const HttpHead& head) {
  return Sender{head.listener, head.address, {}, CertificatesOf(head)};
}

// The API key of "Bearer KEY", "Splunk KEY" or "Basic base64(anything:KEY)"; empty: none.
std::string SecretOf(std::string_view authorization) {
  const size_t blank = authorization.find(' ');
  if (blank == authorization.npos) return "";
  const std::string_view scheme = authorization.substr(0, blank);
  const std::string_view value = Trim(authorization.substr(blank + 1));
  if (EqualsIgnoreCase(scheme, "Bearer") || EqualsIgnoreCase(scheme, "Splunk")) {
    return std::string(value);
  }
  if (!EqualsIgnoreCase(scheme, "Basic")) return "";
  const auto pair = Base64Decode(value);
  const size_t colon = pair ? pair->find(':') : std::string::npos;
  return colon == std::string::npos ? "" : pair->substr(colon + 1);
}

int HttpStatusOf(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kResourceExhausted:
      return ErrorReason(status) == "BODY_TOO_LARGE" ? 413 : 429;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 503;
    default:
      return 500;
  }
}

// HEC's own numbers.
int HecCodeOf(int http, std::string_view reason) {
  if (reason == "KEY_MISSING") return 2;
  if (reason == "NO_DATA") return 5;
  if (reason == "EVENT_MISSING") return 12;
  if (reason == "EVENT_EMPTY") return 13;
  switch (http) {
    case 401:
      return 3;
    case 403:
      return 4;
    case 429:
    case 503:
      return 9;
    case 500:
      return 8;
    default:
      return 6;
  }
}

bool IsHec(Route route) { return route != Route::kNone && route != Route::kBulk; }

HttpAnswer AnswerOf(Route route, int http, std::string_view reason, std::string_view message,
                    std::string_view place = {}) {
  HttpAnswer answer;
  answer.status = http;
  const std::string text = QuoteJson(message);
  if (IsHec(route)) {
    answer.body = fmt::format(R"({{"text":{},"code":{})", text, HecCodeOf(http, reason));
    if (!place.empty()) answer.body += fmt::format(R"(,"invalid-event-number":{})", place);
    answer.body += "}";
  } else {
    answer.body = fmt::format(R"({{"error":{{"code":{},"reason":{},"message":{})", http,
                              QuoteJson(reason), text);
    if (!place.empty()) answer.body += fmt::format(R"(,"line":{})", place);
    answer.body += "}}";
  }
  if (http == 401) answer.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (http == 429 || http == 503) answer.headers.emplace_back("Retry-After", "1");
  return answer;
}

HttpAnswer AnswerOf(Route route, const Status& status) {
  // What failed inside is nobody's business outside.
  const int http = HttpStatusOf(status);
  const std::string message =
      http == 500 ? "the service failed" : std::string(Message(WithoutInsides(status)));
  const ErrorMetadata metadata = GetErrorMetadata(status);
  const auto place = metadata.find(IsHec(route) ? "event" : "line");
  const std::string reason = ErrorReason(status);
  HttpAnswer answer = AnswerOf(route, http, reason, message,
                               place == metadata.end() ? std::string_view() : place->second);
  const auto delay = RetryDelayOf(status);
  for (auto& [name, value] : answer.headers) {
    if (name != "Retry-After" || !delay) continue;
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*delay).count();
    value = std::to_string(std::clamp<int64_t>(seconds, 1, kMaxRetryAfter));
  }
  return answer;
}

Status MissingKey() {
  return MakeError(
      absl::StatusCode::kUnauthenticated, "KEY_MISSING",
      "an API key is required (Authorization: Bearer KEY), or a client certificate that "
      "is trusted");
}

Status Denied() {
  return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                   "the sender may not push logs for that tenant");
}

Status SourcesUnknown() {
  return Unavailable("SOURCES_UNKNOWN", "the sources of the directory are not loaded yet");
}

// What HEC's raw endpoint is told of all records, as the event endpoint of each.
// Each is repeated in every record: of a name the first counts, of a value so much.
void TakeArguments(const HttpHead& head, RecordSender& sender) {
  constexpr size_t kMaxValue = 1'024;
  std::set<std::string_view> taken;
  for (const auto& [name, whole] : head.arguments) {
    const std::string_view value = CharactersWithin(whole, kMaxValue);
    if (value.empty()) continue;
    if (name != "host" && name != "source" && name != "sourcetype" && name != "index") continue;
    if (!taken.insert(name).second) continue;
    if (name == "host") {
      sender.host = value;
    } else {
      sender.fields.emplace_back(fmt::format("hec.{}", name), std::string(value));
    }
    // Another request, too, where it is told something else.
    sender.content = event::HashBytes(fmt::format("{}={}", name, value), sender.content);
  }
}

bool IsIdempotencyKey(std::string_view key) {
  return key.size() <= kMaxIdempotencyKey && std::all_of(key.begin(), key.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == ':' || c == '-';
         });
}

}  // namespace

HttpIntake::HttpIntake(const Options& options, const ListenerParts& parts,
                       std::shared_ptr<ApiKeys> keys)
    : options_(options),
      sink_(parts.sink),
      sources_(parts.sources),
      keys_(std::move(keys)),
      intake_(parts) {}

HttpHandler::Admission HttpIntake::Admit(HttpHead& head, bool may_wait, HttpAnswer* refusal) {
  const auto refuse = [refusal](HttpAnswer answer) {
    *refusal = std::move(answer);
    return Admission::kRefused;
  };
  auto admitted = std::make_shared<Admitted>();
  admitted->target = TargetOf(head.path);
  const Route route = admitted->target.route;
  if (route == Route::kNone) {
    return refuse(AnswerOf(route, 404, "NOT_FOUND", "there is no such path"));
  }
  if (IsHec(route) && head.method == "OPTIONS") return refuse(HttpAnswer());  // "is it there?"
  const std::string_view method = route == Route::kHecHealth ? "GET" : "POST";
  if (head.method != method) {
    HttpAnswer answer = AnswerOf(route, 405, "METHOD_NOT_ALLOWED", "the path takes another method");
    answer.headers.emplace_back("Allow", method);
    return refuse(std::move(answer));
  }
  if (route == Route::kHecHealth) return refuse(Health());
  const std::string secret = SecretOf(head.authorization);
  if (!secret.empty()) {
    auto principal = may_wait ? keys_->Resolve(secret, head.peer) : keys_->Look(secret);
    if (!principal.ok()) return refuse(AnswerOf(route, principal.status()));
    if (*principal == nullptr) return Admission::kAskAgain;
    admitted->principal = *std::move(principal);
    admitted->tenants = admitted->principal->TenantsFor(kPermission);
    if (admitted->tenants.empty()) return refuse(AnswerOf(route, Denied()));
    head.share = rpc::HomeTenantOf(*admitted->principal);
  } else if (!CertificatesOf(head).empty()) {
    const auto sources = sources_->Get();
    if (sources == nullptr) return refuse(AnswerOf(route, SourcesUnknown()));
    const auto tenants = sources->TenantsByCertificate(DeviceOf(head));
    admitted->tenants.tenants = {tenants.begin(), tenants.end()};
    head.share = tenants.empty() ? std::string(kQuarantineTenant) : tenants.front();
  } else {
    return refuse(AnswerOf(route, MissingKey()));
  }
  const std::string& tenant = admitted->target.tenant;
  const bool any = tenant.empty() || tenant == "-";
  if (!any && !admitted->tenants.Contains(tenant)) return refuse(AnswerOf(route, Denied()));
  const std::string& encoding = head.content_encoding;
  if (!encoding.empty() && encoding != "identity" && encoding != "gzip" && encoding != "deflate") {
    return refuse(
        AnswerOf(route, 415, "ENCODING_UNKNOWN", "Content-Encoding must be gzip or deflate"));
  }
  if (!IsIdempotencyKey(head.idempotency_key)) {
    return refuse(AnswerOf(
        route,
        InvalidField("Idempotency-Key", "must be at most 128 characters of [A-Za-z0-9._:-]")));
  }
  if (const Status status = charges_.Begin(head.share); !status.ok()) {
    return refuse(AnswerOf(route, status));
  }
  head.admitted = std::move(admitted);
  return Admission::kIn;
}

HttpAnswer HttpIntake::Health() const {
  const bool well = sink_->flowing();
  HttpAnswer answer = AnswerOf(Route::kHecHealth, well ? 200 : 503, "", "");
  answer.body = well ? R"({"text":"HEC is healthy","code":17})"
                     : R"({"text":"HEC is unhealthy, queues are full","code":18})";
  return answer;
}

HttpAnswer HttpIntake::Handle(const HttpHead& head, std::string body) {
  const auto& admitted = *static_cast<const Admitted*>(head.admitted.get());
  const Route route = admitted.target.route;
  size_t records = 0;
  const Status taken = TakeBody(head, std::move(body), &records);
  if (!taken.ok()) return AnswerOf(route, taken);
  HttpAnswer answer;
  answer.body = IsHec(route) ? R"({"text":"Success","code":0})"
                             : fmt::format(R"({{"event_count":{}}})", records);
  return answer;
}

Status HttpIntake::TakeBody(const HttpHead& head, std::string body, size_t* count) {
  const auto& admitted = *static_cast<const Admitted*>(head.admitted.get());
  if (head.content_encoding == "gzip" || head.content_encoding == "deflate") {
    YAGURA_ASSIGN_OR_RETURN(body, Inflate(body, options_.body_bytes * kInflation));
  }
  charges_.Bytes(head.share, body.size());
  const Route route = admitted.target.route;
  YAGURA_ASSIGN_OR_RETURN(const std::vector<Record> records,
                          route == Route::kBulk     ? ReadNdjson(body)
                          : route == Route::kHecRaw ? ReadLines(body, options_.multi_line)
                                                    : ReadHecEvents(body));
  RecordSender sender;
  if (admitted.principal != nullptr) {
    const std::string& name = admitted.principal->name;
    sender.sender = Sender{head.listener, {}, name, CertificatesOf(head)};
  } else {
    sender.sender = DeviceOf(head);
  }
  sender.origin = sender.sender.origin();
  sender.batch_id = head.idempotency_key;
  sender.content = event::HashBytes(body, static_cast<uint64_t>(route));
  if (admitted.target.tenant != "-") sender.tenant = admitted.target.tenant;
  // HEC names no tenant: a key of one tenant sends for that. Of a device sources say.
  const auth::TenantSet& tenants = admitted.tenants;
  if (IsHec(route) && admitted.principal != nullptr && !tenants.all &&
      tenants.tenants.size() == 1) {
    sender.tenant = *tenants.tenants.begin();
  }
  sender.may_write = [&tenants](std::string_view tenant) { return tenants.Contains(tenant); };
  if (route == Route::kHecRaw) TakeArguments(head, sender);
  *count = records.size();
  return intake_.Take(sender, records);
}

HttpAnswer HttpIntake::Refuse(const HttpHead& head, int status, std::string_view why) {
  return AnswerOf(TargetOf(head.path).route, status, status == 413 ? "BODY_TOO_LARGE" : "BUSY",
                  why);
}

}  // namespace yagura::ingestion
