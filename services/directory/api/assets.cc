#include "services/directory/api/directory_api.h"
#include "services/directory/api/standard.h"
#include "services/directory/domain/asset_import.h"
#include "services/directory/domain/validate.h"
#include "yagura/directory/v1/directory_service.pb.h"

namespace yagura::directory {
namespace {

using rpc::Call;

absl::Status Check(const Parts& parts, v1::Asset& asset) {
  YAGURA_RETURN_IF_ERROR(Normalize(asset));
  return parts.store->CheckSites(*store::TenantOf(asset.name()), SitesOf(asset), "addresses");
}

absl::StatusOr<v1::Asset> CreateAsset(Parts& parts, const Call& call,
                                      const v1::CreateAssetRequest& request) {
  v1::Asset asset = request.asset();
  YAGURA_ASSIGN_OR_RETURN(*asset.mutable_name(), NewName(request.parent(), "assets",
                                                         request.asset_id(), "asset_id", true));
  YAGURA_RETURN_IF_ERROR(Check(parts, asset));
  return parts.store->assets.store.Create(call.write_context(), std::move(asset));
}

absl::StatusOr<v1::ListAssetsResponse> ListAssets(Parts& parts, const Call& call,
                                                  const v1::ListAssetsRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(auto page,
                          ListPage(call, request, request.parent(), parts.store->assets));
  v1::ListAssetsResponse response;
  for (auto& item : page.items) *response.add_assets() = std::move(item);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::Asset> UpdateAsset(Parts& parts, const Call& call,
                                      const v1::UpdateAssetRequest& request) {
  return UpdateMasked<v1::Asset>(call, parts.store->assets.store, request.asset(),
                                 request.update_mask(), {},
                                 [&parts](v1::Asset& asset) { return Check(parts, asset); });
}

absl::StatusOr<v1::DeleteAssetResponse> DeleteAsset(Parts& parts, const Call& call,
                                                    const v1::DeleteAssetRequest& request) {
  YAGURA_RETURN_IF_ERROR(
      parts.store->assets.store.Delete(call.write_context(), request.name(), request.etag()));
  return v1::DeleteAssetResponse();
}

// One import: what exists is read at once, then each row is done by itself.
class Import {
 public:
  Import(Parts& parts, const Call& call, const v1::ImportAssetsRequest& request)
      : parts_(parts), call_(call), request_(request) {}

  absl::StatusOr<v1::ImportAssetsResponse> Run() {
    const std::string_view tenant = *store::TenantOf(request_.parent());
    YAGURA_ASSIGN_OR_RETURN(table_, ReadAssetTable(request_.csv(), tenant));
    YAGURA_RETURN_IF_ERROR(FindBadSites(tenant));
    std::vector<std::string> names;
    for (const auto& row : table_.rows) {
      if (row.error.empty()) names.push_back(row.asset.name());
    }
    YAGURA_ASSIGN_OR_RETURN(const auto existing, parts_.store->assets.store.GetMany(names));
    size_t next = 0;
    for (const auto& row : table_.rows) {
      if (call_.cancelled().stop_requested()) {
        return MakeError(
            absl::StatusCode::kDeadlineExceeded, "IMPORT_INTERRUPTED",
            fmt::format("stopped before line {}; the rows above it are done", row.line));
      }
      auto& told = *response_.add_rows();
      told.set_line(row.line);
      told.set_asset(row.asset.name());
      if (!row.error.empty()) {
        Fail(told, row.error);
        continue;
      }
      const absl::Status status = Do(row, existing[next++], told);
      if (status.code() == absl::StatusCode::kUnavailable) return status;
      if (!status.ok()) Fail(told, Message(status));
    }
    return std::move(response_);
  }

 private:
  // Not deduplicated by request id: a repeat finds the rows that are done unchanged.
  store::WriteContext ContextOf(const AssetRow& row) const {
    auto context = call_.write_context(fmt::format("import, line {}", row.line));
    context.request_id.clear();
    return context;
  }

  absl::Status FindBadSites(std::string_view tenant) {
    std::set<std::string> ids;
    for (const auto& row : table_.rows) ids.merge(SitesOf(row.asset));
    std::vector<std::string> names;
    for (const auto& id : ids) names.push_back(fmt::format("tenants/{}/sites/{}", tenant, id));
    YAGURA_ASSIGN_OR_RETURN(const auto found, parts_.store->sites.store.GetMany(names));
    std::set<std::string> unknown;
    size_t at = 0;
    for (const auto& id : ids) {
      if (!found[at++]) unknown.insert(id);
    }
    for (auto& row : table_.rows) {
      for (const auto& site : SitesOf(row.asset)) {
        if (row.error.empty() && unknown.contains(site))
          row.error = fmt::format("addresses: site \"{}\" does not exist", site);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Do(const AssetRow& row, const std::optional<v1::Asset>& existing,
                  v1::ImportedRow& told) {
    if (!existing) {
      if (!request_.dry_run()) {
        YAGURA_RETURN_IF_ERROR(
            parts_.store->assets.store.Create(ContextOf(row), row.asset).status());
      }
      told.set_action(v1::IMPORT_CREATE);
      response_.set_created(response_.created() + 1);
      return absl::OkStatus();
    }
    v1::Asset merged = *existing;
    const auto changed = ApplyRow(table_, row, merged);
    if (changed.empty()) {
      told.set_action(v1::IMPORT_UNCHANGED);
      response_.set_unchanged(response_.unchanged() + 1);
      return absl::OkStatus();
    }
    if (!request_.dry_run()) {
      const auto apply = [this, &row](v1::Asset& asset) {
        ApplyRow(table_, row, asset);
        return absl::OkStatus();
      };
      YAGURA_RETURN_IF_ERROR(
          parts_.store->assets.store.Mutate(ContextOf(row), row.asset.name(), apply).status());
    }
    told.set_action(v1::IMPORT_UPDATE);
    for (const auto& field : changed) told.add_changed_fields(field);
    response_.set_updated(response_.updated() + 1);
    return absl::OkStatus();
  }

  void Fail(v1::ImportedRow& told, std::string_view error) {
    told.set_action(v1::IMPORT_ERROR);
    told.set_error(std::string(error));
    response_.set_failed(response_.failed() + 1);
  }

  Parts& parts_;
  const Call& call_;
  const v1::ImportAssetsRequest& request_;
  AssetTable table_;
  v1::ImportAssetsResponse response_;
};

}  // namespace

void RegisterAssets(rpc::ServiceRegistry& registry, Parts& parts) {
  registry.Unary<v1::CreateAssetRequest, v1::Asset>(
      Method("CreateAsset"), [&parts](const Call& call, const v1::CreateAssetRequest& request) {
        return CreateAsset(parts, call, request);
      });
  registry.Unary<v1::GetAssetRequest, v1::Asset>(
      Method("GetAsset"), [&parts](const Call&, const v1::GetAssetRequest& request) {
        return parts.store->assets.store.Get(request.name());
      });
  registry.Unary<v1::ListAssetsRequest, v1::ListAssetsResponse>(
      Method("ListAssets"), [&parts](const Call& call, const v1::ListAssetsRequest& request) {
        return ListAssets(parts, call, request);
      });
  registry.Unary<v1::UpdateAssetRequest, v1::Asset>(
      Method("UpdateAsset"), [&parts](const Call& call, const v1::UpdateAssetRequest& request) {
        return UpdateAsset(parts, call, request);
      });
  registry.Unary<v1::DeleteAssetRequest, v1::DeleteAssetResponse>(
      Method("DeleteAsset"), [&parts](const Call& call, const v1::DeleteAssetRequest& request) {
        return DeleteAsset(parts, call, request);
      });
  registry.Unary<v1::ImportAssetsRequest, v1::ImportAssetsResponse>(
      Method("ImportAssets"), [&parts](const Call& call, const v1::ImportAssetsRequest& request) {
        return Import(parts, call, request).Run();
      });
}

}  // namespace yagura::directory
