#include "tests/unit/common/rpc/echo_app.h"

#include <stdexcept>
#include <thread>

#include "common/status/status.h"

namespace yagura::rpc {
namespace {

using testing::v1::CreateWorldRequest;
using testing::v1::EchoRequest;
using testing::v1::EchoResponse;
using testing::v1::ListEchoesRequest;
using testing::v1::UpdateEchoRequest;
using testing::v1::WhoAmIRequest;

EchoResponse Answer(const Call& call, const std::string& text) {
  EchoResponse response;
  response.set_text(text);
  response.set_tenant(call.tenant());
  response.set_principal(call.principal().name);
  response.set_on_behalf_of(call.principal().on_behalf_of);
  response.set_has_deadline(call.deadline() <
                            std::chrono::steady_clock::now() + std::chrono::minutes(1));
  response.set_digest(call.write_context().request_digest);
  return response;
}

absl::StatusOr<EchoResponse> Echo(EchoProbe& probe, const Call& call, const EchoRequest& request) {
  ++probe.calls;
  if (request.text() == "error") {
    return WithRetryDelay(
        MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH", "somebody else", {{"etag", "e2"}}),
        std::chrono::milliseconds(1500));
  }
  if (request.text() == "throw") throw std::runtime_error("secret of the house");
  if (request.text() == "wait") {
    const std::stop_callback cancelled(call.cancelled(), [&probe] { ++probe.cancelled; });
    probe.gate.Wait();
  }
  if (request.text() == "hook") return probe.hook(call);
  EchoResponse response = Answer(call, request.text());
  response.set_padding(std::string(static_cast<size_t>(request.padding()), 'x'));
  return response;
}

absl::Status Search(EchoProbe& probe, const Call& call, const EchoRequest& request,
                    const Outbox<EchoResponse>& outbox) {
  ++probe.calls;
  for (int i = 0; i < request.count(); ++i) {
    EchoResponse response = Answer(call, std::to_string(i));
    response.set_padding(std::string(static_cast<size_t>(request.padding()), 'x'));
    if (!outbox.PushWhenRoom(std::move(response))) {
      ++probe.cancelled;
      return absl::CancelledError();
    }
    ++probe.messages;
  }
  if (request.text() == "error") return NotFound("tenants/acme/echoes/last");
  return absl::OkStatus();
}

class Session final : public StreamSession<EchoRequest> {
 public:
  Session(std::shared_ptr<EchoProbe> probe, Call call, Outbox<EchoResponse> outbox, bool each)
      : probe_(std::move(probe)), call_(std::move(call)), outbox_(std::move(outbox)), each_(each) {}
  absl::Status OnMessage(const EchoRequest& request) override {
    if (busy_.exchange(true)) return Internal("two messages at once");
    ++count_;
    ++probe_->messages;
    if (request.text() == "wait") probe_->gate.Wait();
    busy_ = false;
    if (request.text() == "error") return InvalidField("text", "must not be error");
    if (each_) outbox_.Push(Answer(call_, request.text()));
    return absl::OkStatus();
  }
  void OnClientDone() override {
    if (!each_) outbox_.Push(Answer(call_, std::to_string(count_)));
    outbox_.Finish(absl::OkStatus());
  }
  void OnEnd() override {
    if (!busy_) ++probe_->sessions_ended;
  }

 private:
  const std::shared_ptr<EchoProbe> probe_;
  const Call call_;
  const Outbox<EchoResponse> outbox_;
  const bool each_;
  std::atomic<bool> busy_{false};
  int count_ = 0;
};

}  // namespace

int EchoProbe::Publish(const EchoResponse& response) {
  std::vector<Outbox<EchoResponse>> targets;
  {
    const std::lock_guard lock(mutex);
    targets = outboxes;
  }
  int taken = 0;
  for (const auto& outbox : targets) taken += outbox.Push(response) ? 1 : 0;
  return taken;
}

void EchoApp::Register(ServiceRegistry& registry) {
  const std::string service = "/yagura.testing.v1.EchoService/";
  const auto probe = probe_;
  if (leave_out_ != "GetEcho") {
    registry.Unary<EchoRequest, EchoResponse>(
        service + "GetEcho", [probe](const Call& call, const EchoRequest& request) {
          return Echo(*probe, call, request);
        });
  }
  registry.Unary<EchoRequest, EchoResponse>(service + "Hello",
                                            [probe](const Call& call, const EchoRequest& request) {
                                              return Echo(*probe, call, request);
                                            });
  registry.Unary<ListEchoesRequest, EchoResponse>(
      service + "ListEchoes",
      [](const Call& call, const ListEchoesRequest&) -> absl::StatusOr<EchoResponse> {
        const auth::TenantSet scope = call.scope();
        std::string text = scope.all ? "all" : "";
        for (const std::string& tenant : scope.tenants) text += tenant + " ";
        return Answer(call, text);
      });
  registry.Unary<UpdateEchoRequest, EchoResponse>(
      service + "UpdateEcho",
      [](const Call& call, const UpdateEchoRequest& request) -> absl::StatusOr<EchoResponse> {
        return Answer(call, request.echo().name());
      });
  registry.Unary<CreateWorldRequest, EchoResponse>(
      service + "CreateWorld",
      [](const Call& call, const CreateWorldRequest& request) -> absl::StatusOr<EchoResponse> {
        return Answer(call, request.world_id());
      });
  registry.Unary<WhoAmIRequest, EchoResponse>(
      service + "WhoAmI",
      [](const Call& call, const WhoAmIRequest&) -> absl::StatusOr<EchoResponse> {
        return Answer(call, call.principal().name);
      });
  registry.ServerStream<EchoRequest, EchoResponse>(
      service + "SearchEchoes",
      [probe](const Call& call, const EchoRequest& request, const Outbox<EchoResponse>& outbox) {
        return Search(*probe, call, request, outbox);
      });
  registry.Watch<EchoRequest, EchoResponse>(
      service + "WatchEchoes",
      [probe](const Call&, const EchoRequest& request,
              Outbox<EchoResponse> outbox) -> absl::StatusOr<std::shared_ptr<void>> {
        if (request.text() == "error") return NotFound(request.name());
        {
          const std::lock_guard lock(probe->mutex);
          probe->outboxes.push_back(outbox);
        }
        ++probe->watchers;
        return std::shared_ptr<void>(nullptr, [probe](void*) { --probe->watchers; });
      });
  const auto session = [probe](bool each) {
    return [probe, each](const Call& call, Outbox<EchoResponse> outbox)
               -> absl::StatusOr<std::unique_ptr<StreamSession<EchoRequest>>> {
      return std::make_unique<Session>(probe, call, std::move(outbox), each);
    };
  };
  registry.Stream<EchoRequest, EchoResponse>(service + "Chat", session(true));
  registry.Stream<EchoRequest, EchoResponse>(service + "Collect", session(false));
}

std::map<std::string, absl::Status> EchoApp::Health() const {
  return {{"voice", probe_->well ? absl::OkStatus() : Unavailable("HOARSE", "lost its voice")},
          {"ears", absl::OkStatus()}};
}

}  // namespace yagura::rpc
