#include "services/detection/workers/log_look_client.h"

#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"

#include "common/clock/proto_time.h"
#include "common/rpc/call.h"
#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"

namespace yagura::detection {
namespace {

using archive::v1::ArchiveService;

constexpr int kMostShapes = 1000;

template <typename Request>
Request RequestOf(const rpc::Call& call, const LogLook::Range& range, const std::string& filter) {
  Request request;
  request.set_parent("tenants/" + call.tenant());
  *request.mutable_range()->mutable_start_time() = ToProto(range.start);
  *request.mutable_range()->mutable_end_time() = ToProto(range.end);
  request.set_filter(filter);
  return request;
}

}  // namespace

absl::StatusOr<LogLook::Shapes> LogLookClient::ShapesOf(const rpc::Call& call, const Range& range) {
  auto request = RequestOf<archive::v1::CountEventsRequest>(call, range, "");
  for (const char* path : {"product", "category", "fields.Channel", "vendor_event_id"}) {
    request.add_group_by(path);
  }
  request.set_limit(kMostShapes);
  grpc::ClientContext context;
  channels_->Prepare(context, call);
  archive::v1::CountEventsResponse response;
  YAGURA_RETURN_IF_ERROR(rpc::FromGrpc(ArchiveService::NewStub(channels_->Get("archive"))
                                           ->CountEvents(&context, request, &response)));
  Shapes shapes;
  shapes.total = response.total();
  shapes.complete = !response.truncated();
  for (const auto& group : response.groups()) {
    if (group.values_size() != 4) continue;
    shapes.shapes.push_back(
        {group.values(0), group.values(1), group.values(2), group.values(3), group.count()});
  }
  return shapes;
}

absl::StatusOr<uint64_t> LogLookClient::Count(const rpc::Call& call, const Range& range,
                                              const std::string& filter) {
  const auto request = RequestOf<archive::v1::CountEventsRequest>(call, range, filter);
  grpc::ClientContext context;
  channels_->Prepare(context, call);
  archive::v1::CountEventsResponse response;
  YAGURA_RETURN_IF_ERROR(rpc::FromGrpc(ArchiveService::NewStub(channels_->Get("archive"))
                                           ->CountEvents(&context, request, &response)));
  return response.total();
}

absl::StatusOr<std::vector<event::v1::Event>> LogLookClient::Sample(const rpc::Call& call,
                                                                    const Range& range,
                                                                    const std::string& filter,
                                                                    int most) {
  auto request = RequestOf<archive::v1::SearchEventsRequest>(call, range, filter);
  request.set_page_size(most);
  grpc::ClientContext context;
  channels_->Prepare(context, call);
  const auto reader =
      ArchiveService::NewStub(channels_->Get("archive"))->SearchEvents(&context, request);
  std::vector<event::v1::Event> events;
  archive::v1::SearchEventsResponse response;
  while (reader->Read(&response)) {
    for (auto& event : *response.mutable_events()) events.push_back(std::move(event));
  }
  YAGURA_RETURN_IF_ERROR(rpc::FromGrpc(reader->Finish()));
  return events;
}

absl::StatusOr<std::set<std::string>> LogLookClient::Present(
    const rpc::Call& call, const Range& range, const std::string& filter,
    const std::vector<std::string>& paths) {
  auto request = RequestOf<archive::v1::AggregateEventsRequest>(call, range, filter);
  for (size_t i = 0; i < paths.size(); ++i) {
    auto& aggregate = *request.add_aggregates();
    aggregate.set_name(fmt::format("f{}", i));
    aggregate.set_function(archive::v1::DISTINCT);
    aggregate.set_field(paths[i]);
  }
  grpc::ClientContext context;
  channels_->Prepare(context, call);
  archive::v1::AggregateEventsResponse response;
  YAGURA_RETURN_IF_ERROR(rpc::FromGrpc(ArchiveService::NewStub(channels_->Get("archive"))
                                           ->AggregateEvents(&context, request, &response)));
  std::set<std::string> present;
  for (const auto& row : response.rows()) {
    for (int i = 0; i < row.results_size() && static_cast<size_t>(i) < paths.size(); ++i) {
      if (row.results(i).count() > 0) present.insert(paths[static_cast<size_t>(i)]);
    }
  }
  return present;
}

}  // namespace yagura::detection
