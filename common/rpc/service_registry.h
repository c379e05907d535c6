#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "common/rpc/streams.h"

namespace yagura::rpc {

struct TenantQuotas;

// Where an App names the handler of each of its methods. A handler is a plain function; permission,
// scope, deadline, quota, audit, metrics and logs are the runtime's. Names are full method names as
// in
// "/yagura.ticketing.v1.TicketingService/GetTicket"; the types must be those of the proto, the
// server does not start where a method of a registered service has no handler or no permission
// option.
class ServiceRegistry {
 public:
  using Message = google::protobuf::Message;
  using UnaryFn =
      std::function<absl::StatusOr<std::unique_ptr<Message>>(const Call&, const Message&)>;
  using ServerStreamFn =
      std::function<absl::Status(const Call&, const Message&, std::shared_ptr<RawOutbox>)>;
  using WatchFn = std::function<absl::StatusOr<std::shared_ptr<void>>(const Call&, const Message&,
                                                                      std::shared_ptr<RawOutbox>)>;
  using SessionFn = std::function<absl::StatusOr<std::shared_ptr<StreamSession<Message>>>(
      const Call&, std::shared_ptr<RawOutbox>)>;

  virtual ~ServiceRegistry() = default;

  // What the server charges tenants, for Apps that have inputs of their own. Null where nobody is.
  virtual std::shared_ptr<TenantQuotas> quotas() const = 0;

  // Answers one request on the App's bounded executor.
  template <typename Request, typename Response>
  void Unary(std::string_view method,
             std::function<absl::StatusOr<Response>(const Call&, const Request&)> handler) {
    AddUnary(
        method, Request::default_instance(), Response::default_instance(),
        [handler = std::move(handler)](
            const Call& call, const Message& request) -> absl::StatusOr<std::unique_ptr<Message>> {
          auto response = handler(call, static_cast<const Request&>(request));
          if (!response.ok()) return response.status();
          return std::make_unique<Response>(std::move(*response));
        });
  }

  // Sends a bounded result as a stream (search, export). Runs on the App's streaming executor,
  // pushes with PushWhenRoom, and its status ends the stream.
  template <typename Request, typename Response>
  void ServerStream(
      std::string_view method,
      std::function<absl::Status(const Call&, const Request&, const Outbox<Response>&)> handler) {
    AddServerStream(method, Request::default_instance(), Response::default_instance(),
                    [handler = std::move(handler)](const Call& call, const Message& request,
                                                   std::shared_ptr<RawOutbox> outbox) {
                      return handler(call, static_cast<const Request&>(request),
                                     Outbox<Response>(std::move(outbox)));
                    });
  }

  // A stream without end. The handler subscribes and returns at once; what it returns is kept until
  // the call ends. Holds no thread. The right to it is checked again every 60 s.
  template <typename Request, typename Response>
  void Watch(std::string_view method,
             std::function<absl::StatusOr<std::shared_ptr<void>>(const Call&, const Request&,
                                                                 Outbox<Response>)>
                 handler) {
    AddWatch(method, Request::default_instance(), Response::default_instance(),
             [handler = std::move(handler)](const Call& call, const Message& request,
                                            std::shared_ptr<RawOutbox> outbox) {
               return handler(call, static_cast<const Request&>(request),
                              Outbox<Response>(std::move(outbox)));
             });
  }

  // A client stream or a bidirectional stream: `make` is called once a call.
  template <typename Request, typename Response>
  void Stream(std::string_view method,
              std::function<absl::StatusOr<std::unique_ptr<StreamSession<Request>>>(
                  const Call&, Outbox<Response>)>
                  make) {
    struct Untyped final : StreamSession<Message> {
      explicit Untyped(std::unique_ptr<StreamSession<Request>> session_in)
          : session(std::move(session_in)) {}
      absl::Status OnMessage(const Message& request) override {
        return session->OnMessage(static_cast<const Request&>(request));
      }
      std::chrono::milliseconds Pause() const override { return session->Pause(); }
      absl::Status OnResume() override { return session->OnResume(); }
      void OnClientDone() override { session->OnClientDone(); }
      void OnEnd() override { session->OnEnd(); }
      std::unique_ptr<StreamSession<Request>> session;
    };
    AddStream(method, Request::default_instance(), Response::default_instance(),
              [make = std::move(make)](const Call& call, std::shared_ptr<RawOutbox> outbox)
                  -> absl::StatusOr<std::shared_ptr<StreamSession<Message>>> {
                auto session = make(call, Outbox<Response>(std::move(outbox)));
                if (!session.ok()) return session.status();
                return std::make_shared<Untyped>(std::move(*session));
              });
  }

 protected:
  virtual void AddUnary(std::string_view method, const Message& request, const Message& response,
                        UnaryFn handler) = 0;
  virtual void AddServerStream(std::string_view method, const Message& request,
                               const Message& response, ServerStreamFn handler) = 0;
  virtual void AddWatch(std::string_view method, const Message& request, const Message& response,
                        WatchFn handler) = 0;
  virtual void AddStream(std::string_view method, const Message& request, const Message& response,
                         SessionFn make) = 0;
};

}  // namespace yagura::rpc
