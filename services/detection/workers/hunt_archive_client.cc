#include "services/detection/workers/hunt_archive_client.h"

#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"

#include "common/clock/proto_time.h"
#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"

namespace yagura::detection {
namespace {

using archive::v1::ArchiveService;

// A stream is asked for its rights again after a minute, and the token has ended by then.
constexpr std::chrono::seconds kTimeout{45};

void SetRange(TimePoint start, TimePoint end, archive::v1::TimeRange& range) {
  *range.mutable_start_time() = ToProto(start);
  *range.mutable_end_time() = ToProto(end);
}

}  // namespace

absl::Status HuntArchiveClient::Read(const Question& question, const Visit& visit) {
  archive::v1::ExportEventsRequest request;
  request.set_parent("tenants/" + question.tenant);
  request.set_filter(question.filter);
  SetRange(question.start, question.end, *request.mutable_range());
  request.set_page_token(question.page_token);
  const auto stub = ArchiveService::NewStub(channels_->Get("archive"));
  grpc::ClientContext context;
  channels_->PrepareAs(context, question.tenant, kTimeout);
  const auto reader = stub->ExportEvents(&context, request);
  archive::v1::SearchEventsResponse message;
  while (reader->Read(&message)) {
    if (visit(message)) continue;
    context.TryCancel();
    while (reader->Read(&message)) {
    }
    reader->Finish();
    return absl::OkStatus();
  }
  return rpc::FromGrpc(reader->Finish());
}

absl::StatusOr<HuntArchive::Logs> HuntArchiveClient::Describe(const std::string& tenant,
                                                              TimePoint start, TimePoint end) {
  const auto stub = ArchiveService::NewStub(channels_->Get("archive"));
  Logs logs;
  {
    archive::v1::CountEventsRequest request;
    request.set_parent("tenants/" + tenant);
    SetRange(start, end, *request.mutable_range());
    grpc::ClientContext context;
    channels_->PrepareAs(context, tenant, kTimeout);
    archive::v1::CountEventsResponse response;
    YAGURA_RETURN_IF_ERROR(rpc::FromGrpc(stub->CountEvents(&context, request, &response)));
    logs.coverage = std::move(*response.mutable_coverage());
    logs.event_count = response.total();
  }
  archive::v1::GetCoverageRequest request;
  request.set_parent("tenants/" + tenant);
  SetRange(start, end, *request.mutable_range());
  grpc::ClientContext context;
  channels_->PrepareAs(context, tenant, kTimeout);
  archive::v1::GetCoverageResponse response;
  YAGURA_RETURN_IF_ERROR(rpc::FromGrpc(stub->GetCoverage(&context, request, &response)));
  for (const auto& source : response.sources()) {
    const TimePoint first = FromProto(source.first_receive_time());
    if (logs.first_receive_time == TimePoint() || first < logs.first_receive_time) {
      logs.first_receive_time = first;
    }
  }
  return logs;
}

}  // namespace yagura::detection
