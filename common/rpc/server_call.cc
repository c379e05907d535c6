#include "common/rpc/server_call.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "grpcpp/impl/codegen/proto_utils.h"

#include "common/rpc/peer.h"
#include "common/rpc/request_digest.h"
#include "common/rpc/server_call_reactor.h"
#include "common/status/status.h"
#include "common/store/known_tenants.h"

namespace yagura::rpc {
namespace {

using std::chrono::steady_clock;

constexpr int kMaxOpenStreams = 10'000;  // per App
constexpr size_t kMaxRequestId = 64;
constexpr size_t kMaxDetail = 512;
// More than any sane deadline: what a client without one sends.
constexpr std::chrono::hours kNoDeadline{24 * 365};

absl::Status Exhausted(std::string_view reason, std::string_view message,
                       std::chrono::milliseconds retry) {
  return WithRetryDelay(MakeError(absl::StatusCode::kResourceExhausted, reason, message), retry);
}

absl::Status Cancelled() {
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "the caller went away");
}

absl::Status DeadlineExceeded() {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
                   "the deadline has passed");
}

// A handler that throws has a fault; its text may hold anything, so it goes to the log alone.
template <typename Function>
auto Guarded(const Logger& logger, std::string_view method, Function&& function)
    -> decltype(function()) {
  try {
    return function();
  } catch (const std::exception& e) {
    logger.Error("a handler threw", {{"method", method}, {"what", e.what()}});
  } catch (...) {
    logger.Error("a handler threw", {{"method", method}});
  }
  return Internal("the service failed");
}

// The `authorization` header; empty where there is none, nothing where there are several.
std::optional<std::string> AuthorizationOf(const grpc::GenericCallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  if (metadata.count("authorization") > 1) return std::nullopt;
  const auto header = metadata.find("authorization");
  if (header == metadata.end()) return "";
  return std::string(header->second.data(), header->second.size());
}

std::string FieldText(const google::protobuf::Message& message,
                      const google::protobuf::FieldDescriptor* field) {
  return field == nullptr ? "" : message.GetReflection()->GetString(message, field);
}

}  // namespace

grpc::ServerGenericBidiReactor* ServerCall::Start(Runtime& runtime,
                                                  grpc::GenericCallbackServerContext* context) {
  std::shared_ptr<ServerCall> call(new ServerCall(runtime, context));
  auto* reactor = new Reactor(call);
  call->reactor_ = reactor;
  call->context_ = context;
  runtime.Enter(call);
  call->Begin(context);
  return reactor;
}

ServerCall::ServerCall(Runtime& runtime, grpc::GenericCallbackServerContext* context)
    : runtime_(runtime),
      method_name_(context->method()),
      method_(runtime.methods.Find(method_name_)),
      peer_(context->peer()),
      limits_{runtime.options.max_send_bytes, runtime.options.outbox_messages,
              runtime.options.outbox_bytes, runtime.options.reader_patience} {}

ServerCall::~ServerCall() = default;

bool ServerCall::is_endless() const {
  return method_ != nullptr &&
         (method_->kind == Method::Kind::kWatch || method_->kind == Method::Kind::kSession);
}

void ServerCall::Begin(grpc::GenericCallbackServerContext* context) {
  if (absl::Status status = Admit(context); !status.ok()) {
    const std::lock_guard lock(mutex_);
    FinishLocked(status);
    return;
  }
  SetDeadline(context);
  if (is_endless()) CheckRightsLater();
  if (method_->kind == Method::Kind::kSession) {
    SubmitStep([](ServerCall& call) { call.OpenSession(); });
  } else {
    ReadNext();
  }
}

// What everybody may ask is asked by nobody in particular, but services say who they are.
std::shared_ptr<const auth::Principal> ServerCall::ServiceOrNobody(
    const std::string& authorization) {
  if (!authorization.empty()) {
    auto principal = runtime_.authenticator.Authenticate(authorization, peer_);
    if (principal.ok() && (*principal)->is_service()) return *std::move(principal);
  }
  return std::make_shared<const auth::Principal>();
}

absl::Status ServerCall::Admit(grpc::GenericCallbackServerContext* context) {
  if (runtime_.stopping) return Unavailable("SERVER_STOPPING", "the server is stopping");
  if (method_ == nullptr) {
    return MakeError(absl::StatusCode::kUnimplemented, "METHOD_UNKNOWN",
                     "the server has no such method");
  }
  auto authorization = AuthorizationOf(*context);
  if (method_->is_public()) {
    principal_ = ServiceOrNobody(authorization.value_or(""));
    quota_key_ = principal_->is_service() ? "" : "peer " + PeerNetwork(peer_);
  } else {
    if (!authorization) {
      return MakeError(absl::StatusCode::kUnauthenticated, "TOKEN_INVALID",
                       "the token is not valid");
    }
    authorization_ = *std::move(authorization);
    YAGURA_ASSIGN_OR_RETURN(principal_, runtime_.authenticator.Authenticate(authorization_, peer_));
    quota_key_ = HomeTenantOf(*principal_);
    // Said before anything is read: who may do this nowhere costs us no more.
    YAGURA_RETURN_IF_ERROR(method_->scope->CheckOpening(*principal_).status());
  }
  YAGURA_RETURN_IF_ERROR(TakeQuota(runtime_.quotas->calls, 1, "calls"));
  if (is_endless()) {
    if (method_->app->open_streams.fetch_add(1) >= kMaxOpenStreams) {
      method_->app->open_streams.fetch_sub(1);
      return Exhausted("TOO_MANY_STREAMS", "the service has too many open streams",
                       std::chrono::seconds(5));
    }
    counted_as_stream_ = true;
  }
  return absl::OkStatus();
}

absl::Status ServerCall::TakeQuota(Quota& quota, double amount, std::string_view what) {
  if (quota_key_.empty()) return absl::OkStatus();  // services among themselves
  const auto wait = quota.Take(quota_key_, amount);
  if (wait.count() == 0) return absl::OkStatus();
  return Exhausted("QUOTA_EXCEEDED", fmt::format("too many {} a second for one tenant", what),
                   wait);
}

void ServerCall::SetDeadline(grpc::GenericCallbackServerContext* context) {
  const auto left = context->deadline() - std::chrono::system_clock::now();
  if (left < kNoDeadline) {
    deadline_ = begun_ + std::chrono::duration_cast<SteadyTime::duration>(left);
    return;  // gRPC itself cancels the call then
  }
  if (is_endless()) return;
  deadline_ = begun_ + runtime_.options.default_deadline;
  runtime_.deadlines.At(deadline_, [weak = weak_from_this()] {
    const auto call = weak.lock();
    if (!call) return;
    call->stop_.request_stop();
    const std::lock_guard lock(call->mutex_);
    if (call->context_ == nullptr) return;
    call->Drop(DeadlineExceeded());
    call->CutOffLater();
  });
}

// --- Reactions of gRPC ---------------------------------------------------------------------------

void ServerCall::OnRead(bool ok, grpc::ByteBuffer buffer) {
  if (method_->kind == Method::Kind::kSession) {
    if (!ok) {
      SubmitStep([](ServerCall& call) { call.RunClientDone(); });
      return;
    }
    SubmitStep([buffer = std::move(buffer)](ServerCall& call) { call.RunMessage(buffer); });
    return;
  }
  if (!ok) {
    Finish(MakeError(absl::StatusCode::kInvalidArgument, "REQUEST_MISSING",
                     "the call has no request"));
    return;
  }
  if (absl::Status s = TakeQuota(runtime_.quotas->bytes, buffer.Length(), "bytes"); !s.ok()) {
    Finish(s);
    return;
  }
  Executor& executor =
      method_->kind == Method::Kind::kServerStream ? *method_->app->streams : *method_->app->calls;
  const bool taken = executor.TrySubmit(
      [self = shared_from_this(), buffer = std::move(buffer)] { self->RunRequest(buffer); });
  if (!taken) {
    Finish(Exhausted("SERVICE_BUSY", "the service has too much to do",
                     std::chrono::milliseconds(500)));
  }
}

void ServerCall::OnWritten(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  if (!ok) Drop(Cancelled());
  room_.notify_all();
  Progress();
}

void ServerCall::OnCancel() {
  stop_.request_stop();
  const std::lock_guard lock(mutex_);
  Drop(steady_clock::now() >= deadline_ ? DeadlineExceeded() : Cancelled());
}

void ServerCall::OnDone() {
  stop_.request_stop();
  std::shared_ptr<void> subscription;
  absl::Status final;
  bool end_session = false;
  {
    const std::lock_guard lock(mutex_);
    reactor_ = nullptr;
    context_ = nullptr;
    closing_ = finished_ = true;
    queue_.clear();
    queued_bytes_ = 0;
    subscription = std::move(subscription_);
    final = final_;
    ended_ = true;
    end_session = session_ != nullptr && steps_ == 0;
  }
  room_.notify_all();
  if (counted_as_stream_) method_->app->open_streams.fetch_sub(1);
  // What an App does when a watcher goes must not hold one of gRPC's few threads.
  if (subscription) {
    method_->app->calls->Submit(
        [subscription = std::move(subscription)]() mutable { subscription.reset(); });
  }
  if (end_session) {
    method_->app->calls->Submit([self = shared_from_this()] { self->EndSession(); });
  }
  if (final.code() == absl::StatusCode::kPermissionDenied) {
    Record(audit::v1::DENIED, static_cast<int>(final.code()));
  }
  Report(static_cast<int>(final.code()), yagura::Message(final));
  runtime_.Leave(this);
}

// --- Jobs ----------------------------------------------------------------------------------------

bool ServerCall::IsWanted() {
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return false;
  }
  if (steady_clock::now() < deadline_) return true;
  runtime_.dropped->Add();
  Finish(DeadlineExceeded());
  return false;
}

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> ServerCall::Parse(
    grpc::ByteBuffer buffer) {
  std::unique_ptr<Message> message(method_->request->New());
  const grpc::Status parsed =
      grpc::GenericDeserialize<grpc::ProtoBufferReader, Message>(&buffer, message.get());
  if (parsed.ok()) return message;
  return MakeError(
      absl::StatusCode::kInvalidArgument, "REQUEST_MALFORMED",
      fmt::format("the request is not a valid {}", method_->request->GetDescriptor()->full_name()));
}

absl::StatusOr<std::string> ServerCall::CheckRequest(const Message& request) {
  if (method_->is_public()) return "";
  {
    const std::lock_guard lock(mutex_);
    about_.resource = method_->scope->ResourceOf(request);
  }
  YAGURA_ASSIGN_OR_RETURN(RequestScope::Target target, method_->scope->Check(request, *principal_));
  // Only who may act in all tenants gets here with one that there is not.
  const auto& known = runtime_.platform.tenants;
  if (known && !target.tenant.empty() && target.tenant != "-" && !known->Exists(target.tenant)) {
    return NotFound("tenants/" + target.tenant);
  }
  return std::move(target.tenant);
}

absl::StatusOr<Call> ServerCall::MakeCall(const Message* request) {
  Call::Parts parts;
  if (request != nullptr) {
    YAGURA_ASSIGN_OR_RETURN(parts.tenant, CheckRequest(*request));
    parts.request_id = FieldText(*request, method_->request_id);
    if (parts.request_id.size() > kMaxRequestId) {
      return InvalidField("request_id", "is longer than 64 bytes");
    }
    if (!parts.request_id.empty()) parts.request_digest = RequestDigest(*request);
  } else if (!method_->is_public()) {
    YAGURA_ASSIGN_OR_RETURN(const RequestScope::Target target,
                            method_->scope->CheckOpening(*principal_));
    parts.tenant = target.tenant;
  }
  {
    const std::lock_guard lock(mutex_);
    about_.tenant = parts.tenant;
    if (request != nullptr) {
      about_.detail = FieldText(*request, method_->filter).substr(0, kMaxDetail);
    }
  }
  parts.principal = *principal_;
  parts.method = method_name_;
  parts.permission = method_->permission;
  parts.peer = peer_;
  parts.deadline = deadline_;
  parts.cancelled = stop_.get_token();
  return Call(std::move(parts));
}

void ServerCall::RunRequest(grpc::ByteBuffer buffer) {
  if (!IsWanted()) return;
  auto request = Parse(std::move(buffer));
  if (!request.ok()) {
    Finish(request.status());
    return;
  }
  switch (method_->kind) {
    case Method::Kind::kUnary:
      RunUnary(**request);
      return;
    case Method::Kind::kServerStream:
      RunServerStream(**request);
      return;
    case Method::Kind::kWatch:
      RunWatch(**request);
      return;
    case Method::Kind::kSession:
      return;
  }
}

void ServerCall::RunUnary(const Message& request) {
  using Answer = absl::StatusOr<std::unique_ptr<Message>>;
  const auto call = MakeCall(&request);
  if (!call.ok()) {
    Finish(call.status());
    return;
  }
  const Answer answer = Guarded(runtime_.logger, method_name_,
                                [&]() -> Answer { return method_->unary(*call, request); });
  if (!answer.ok()) {
    Finish(answer.status());
    return;
  }
  Record(method_->audited, 0);
  grpc::ByteBuffer buffer;
  if (absl::Status status = Serialize(**answer, buffer); !status.ok()) {
    Finish(status);
    return;
  }
  const std::lock_guard lock(mutex_);
  if (closing_) return;
  queued_bytes_ += buffer.Length();
  queue_.push_back(std::move(buffer));
  FinishLocked(absl::OkStatus());  // answer and status go out as one
}

void ServerCall::RunServerStream(const Message& request) {
  const auto call = MakeCall(&request);
  if (!call.ok()) {
    Finish(call.status());
    return;
  }
  Record(method_->audited, 0);
  Finish(Guarded(runtime_.logger, method_name_, [&]() -> absl::Status {
    return method_->server_stream(*call, request, shared_from_this());
  }));
}

void ServerCall::RunWatch(const Message& request) {
  using Subscription = absl::StatusOr<std::shared_ptr<void>>;
  const auto call = MakeCall(&request);
  if (!call.ok()) {
    Finish(call.status());
    return;
  }
  Subscription subscription = Guarded(runtime_.logger, method_name_, [&]() -> Subscription {
    return method_->watch(*call, request, shared_from_this());
  });
  if (!subscription.ok()) {
    Finish(subscription.status());
    return;
  }
  Record(method_->audited, 0);
  const std::lock_guard lock(mutex_);
  if (!ended_) subscription_ = *std::move(subscription);
  // Otherwise it goes with this frame, after the lock.
}

void ServerCall::SubmitStep(std::function<void(ServerCall&)> step) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ++steps_;
  }
  method_->app->calls->Submit([self = shared_from_this(), step = std::move(step)] {
    step(*self);
    bool end = false;
    {
      const std::lock_guard lock(self->mutex_);
      end = --self->steps_ == 0 && self->ended_;
    }
    if (end) self->EndSession();
  });
}

void ServerCall::EndSession() {
  std::shared_ptr<StreamSession<Message>> session;
  {
    const std::lock_guard lock(mutex_);
    session = std::move(session_);
  }
  if (!session) return;
  Guarded(runtime_.logger, method_name_, [&]() -> absl::Status {
    session->OnEnd();
    return absl::OkStatus();
  }).IgnoreError();  // there is nobody left to tell
}

void ServerCall::OpenSession() {
  using Session = absl::StatusOr<std::shared_ptr<StreamSession<Message>>>;
  if (!IsWanted()) return;
  const auto call = MakeCall(nullptr);
  if (!call.ok()) {
    Finish(call.status());
    return;
  }
  Session session = Guarded(runtime_.logger, method_name_, [&]() -> Session {
    return method_->session(*call, shared_from_this());
  });
  if (!session.ok()) {
    Finish(session.status());
    return;
  }
  Record(method_->audited, 0);
  {
    const std::lock_guard lock(mutex_);
    session_ = *std::move(session);
  }
  ReadNext();
}

void ServerCall::RunMessage(grpc::ByteBuffer buffer) {
  if (!IsWanted()) return;
  const size_t bytes = buffer.Length();
  auto request = Parse(std::move(buffer));
  absl::Status status = request.status();
  if (status.ok()) status = CheckRequest(**request).status();
  if (status.ok()) {
    status = Guarded(runtime_.logger, method_name_,
                     [&]() -> absl::Status { return session_->OnMessage(**request); });
  }
  if (!status.ok()) {
    Finish(status);
    return;
  }
  // A stream over its quota is read more slowly; nothing that was sent is refused for it.
  ReadAfter(quota_key_.empty() ? std::chrono::milliseconds(0)
                               : runtime_.quotas->bytes.Charge(quota_key_, bytes));
}

void ServerCall::RunResume() {
  if (!IsWanted()) return;
  const absl::Status status = Guarded(runtime_.logger, method_name_,
                                      [&]() -> absl::Status { return session_->OnResume(); });
  if (!status.ok()) {
    Finish(status);
    return;
  }
  ReadAfter(std::chrono::milliseconds(0));
}

void ServerCall::ReadAfter(std::chrono::milliseconds quota_pause) {
  const std::chrono::milliseconds pause = session_->Pause();
  if (pause.count() == 0 && quota_pause.count() == 0) {
    ReadNext();
    return;
  }
  runtime_.deadlines.After(std::max(pause, quota_pause),
                           [weak = weak_from_this(), resume = pause.count() > 0] {
                             const auto call = weak.lock();
                             if (!call) return;
                             if (resume) {
                               call->SubmitStep([](ServerCall& self) { self.RunResume(); });
                             } else {
                               call->ReadNext();
                             }
                           });
}

void ServerCall::RunClientDone() {
  if (!IsWanted()) return;
  const absl::Status status = Guarded(runtime_.logger, method_name_, [&]() -> absl::Status {
    session_->OnClientDone();
    return absl::OkStatus();
  });
  if (!status.ok()) Finish(status);
}

void ServerCall::ReadNext() {
  const std::lock_guard lock(mutex_);
  if (!finished_ && reactor_ != nullptr) reactor_->Read();
}

}  // namespace yagura::rpc
